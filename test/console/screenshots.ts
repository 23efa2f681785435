import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startConsole } from '../../infra/console/server.ts';
import type { Status } from '../../lib/run/status.ts';
import { startBrowser } from '../support/browser.ts';
import { jobsAnswering, sampleStatus } from './sample.ts';

const FOLDER = join(import.meta.dirname, '../../infra/console/screenshots');

const nowMs = Date.parse('2026-11-24T13:30:00Z');
const models = (): Status => sampleStatus('models', nowMs);

function contacts(): Status {
  const { heldBy: _, removals: _withheld, ...status } = sampleStatus('contacts', nowMs);
  const pause = { since: '2026-11-24T13:02:11Z', note: 'the target is being migrated' };
  return { ...status, ...{ paused: true, pause, backfills: [], failed: [], failedCount: 0 } };
}

const SHOTS = [
  { name: 'light', colorScheme: 'light', viewport: { width: 1040, height: 900 }, statuses: { models, contacts } },
  { name: 'dark', colorScheme: 'dark', viewport: { width: 360, height: 900 }, statuses: { contacts, models } },
] as const;

/** Draws the screenshots of the README: the real page in a real browser, with sample jobs at a time that stands still. */
await using browser = await startBrowser();
await mkdir(FOLDER, { recursive: true });
for (const { name, colorScheme, viewport, statuses } of SHOTS) {
  const jobs = jobsAnswering(statuses);
  const timer = { expression: 'cron(0/15 * * * ? *)', timezone: 'UTC', enabled: true };
  const timers = jobs.names.map((job) => ({ job, timer }));
  await using served = await startConsole({ stage: 'prod', local: false, jobs, timers, startedBy: 'jo' });
  const context = await browser.newContext({ locale: 'en-GB', timezoneId: 'UTC', colorScheme, viewport });
  const page = await context.newPage();
  await page.clock.setFixedTime(nowMs);
  // The server's clock is the real one.
  await page.route('**/api/jobs', async (route) => {
    const response = await route.fetch();
    const answer = await response.json();
    for (const view of answer.jobs) view.nextDue = '2026-11-24T13:45:00.000Z';
    await route.fulfill({ response, json: answer });
  });
  await page.goto(served.url);
  await page.locator('.plot canvas').first().waitFor({ timeout: 60_000 });
  const bytes = await page.screenshot({ animations: 'disabled' });
  await writeFile(join(FOLDER, `${name}.png`), bytes);
  await context.close();
  console.log(`infra/console/screenshots/${name}.png: ${Math.ceil(bytes.length / 1000)} kB`);
}
