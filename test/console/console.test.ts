import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { type Console, startConsole } from '../../infra/console/server.ts';
import { type LocalCloud, startCloud } from '../../infra/local/cloud.ts';
import { announcedJobs } from '../../infra/operate/jobs.ts';
import { startBrowser } from '../support/browser.ts';

const TIMEOUT_MS = 300_000;

let cloud: LocalCloud;
let served: Console;
let browser: Browser;

before(async () => {
  cloud = await startCloud({ stage: 'dev' });
  const jobs = await announcedJobs({ url: cloud.lambdaUrl, stage: 'dev', jobs: [{ job: 'models', shards: 1 }] });
  const timer = { expression: 'rate(15 minutes)', timezone: 'UTC', enabled: true, start: new Date().toISOString() };
  const timers = [{ job: 'models', timer }];
  served = await startConsole({ stage: 'dev', local: true, jobs, timers, startedBy: 'a test' });
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await served?.[Symbol.asyncDispose]();
  await cloud?.[Symbol.asyncDispose]();
});

test('The page says what a job does, when the next tick is due, and that nothing has run yet.', {
  timeout: TIMEOUT_MS,
}, async () => {
  const page = await browser.newPage({ locale: 'en-GB', timezoneId: 'UTC' });
  await page.goto(served.url);
  const job = page.getByRole('region', { name: 'models' });
  await job.getByText('Waiting', { exact: true }).waitFor({ timeout: 20_000 });
  assert.match((await job.textContent()) ?? '', /next tick is due in/);
  await page.close();
});
