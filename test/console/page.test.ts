import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, type TestContext, test } from 'node:test';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { type Console, startConsole } from '../../infra/console/server.ts';
import { serve } from '../../infra/local/serve.ts';
import { deployedJobs, type Jobs } from '../../infra/operate/jobs.ts';
import type { Status } from '../../lib/run/status.ts';
import { startBrowser } from '../support/browser.ts';
import { openPage } from './open-page.ts';
import { jobsAnswering, sampleStatus } from './sample.ts';

const TIMEOUT_MS = 120_000;
const PHONE = { width: 360, height: 740 };

let browser: Browser;
let axe: string;
before(async () => {
  browser = await startBrowser();
  axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
});
after(() => browser?.close());

async function serving(jobs: Jobs): Promise<Console> {
  const timer = { expression: 'rate(15 minutes)', timezone: 'UTC', enabled: true };
  const timers = jobs.names.map((job) => ({ job, timer }));
  return await startConsole({ stage: 'prod', local: false, jobs, timers, startedBy: 'a test' });
}

/** Opens a page on a console. The page is closed first: it would complain of a console that does not answer. */
async function opened(t: TestContext, jobs: Jobs, options: BrowserContextOptions = {}): Promise<Page> {
  const served = await serving(jobs);
  try {
    return await openPage(t, { browser, url: served.url, ...options });
  } finally {
    // What is done after a test is done in the order of these calls.
    t.after(() => served[Symbol.asyncDispose]());
  }
}

/** Opens a page on jobs whose functions answer with these statuses. */
async function showing(t: TestContext, statuses: Record<string, () => Status>, options: BrowserContextOptions = {}) {
  const page = await opened(t, jobsAnswering(statuses), options);
  const [first = ''] = Object.keys(statuses);
  const job = page.getByRole('region', { name: first, exact: true });
  await job.waitFor();
  return { page, job };
}

/** Always the same, as those of a real job are. */
const nowMs = Date.now();
const models = () => sampleStatus('models', nowMs);
const paused = (): Status => ({
  ...sampleStatus('contacts', nowMs),
  ...{ paused: true, pause: { since: new Date().toISOString(), note: 'the target moves' } },
});
const bare = (): Status => ({
  ...{ job: 'bare', stage: 'prod', lockKey: '/lock', paused: false, consecutiveSkips: 0 },
  ...{ failed: [], history: [], backfills: [] },
});

/** What axe-core has to object to in the part of the page that a selector names, a line for each rule. */
async function objections(page: Page, part: string): Promise<string[]> {
  // The page's own policy lets nobody add a script; the browser's driver may run one.
  if (!(await page.evaluate('"axe" in window'))) await page.evaluate(axe);
  const { violations, passes } = (await page.evaluate(`axe.run(${JSON.stringify(part)})`)) as {
    violations: { id: string; help: string; nodes: { html: string; failureSummary: string }[] }[];
    passes: { id: string }[];
  };
  for (const rule of ['color-contrast', 'button-name'])
    assert.ok(
      passes.some(({ id }) => id === rule),
      rule,
    );
  return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`);
}

const LOOKS = [
  { colorScheme: 'light', viewport: { width: 1280, height: 900 }, dialogs: true },
  { colorScheme: 'light', viewport: PHONE, dialogs: false },
  { colorScheme: 'dark', viewport: { width: 1280, height: 900 }, dialogs: false },
  { colorScheme: 'dark', viewport: PHONE, dialogs: true },
] as const;
const DIALOGS = ['Tick now', 'Pause', 'Backfill', 'Reset', 'Approve up to 120', 'Retry now', 'Cancel'];

for (const { colorScheme, viewport, dialogs } of LOOKS) {
  const also = dialogs ? ', with each dialog open too' : '';
  test(`axe-core objects to nothing in ${colorScheme} at ${viewport.width} px${also}.`, {
    timeout: TIMEOUT_MS,
  }, async (t) => {
    const { page, job } = await showing(t, { models, contacts: paused, bare }, { colorScheme, viewport });
    await job.getByText('Runs as a table').click();
    assert.deepEqual(await objections(page, 'html'), []);
    for (const button of dialogs ? DIALOGS : []) {
      await job.getByRole('button', { name: button, exact: true }).click();
      await page.getByRole('dialog').waitFor();
      assert.deepEqual(await objections(page, 'dialog'), [], button);
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
    }
  });
}

test('At 360 px nothing has to be scrolled sideways, in dialogs neither, however long a word is.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const long = 'x'.repeat(300);
  const status = (): Status => ({
    ...models(),
    failed: [{ id: long, attempts: 1 }],
    pause: { since: '2026-01-01T00:00:00Z', note: long },
  });
  const { page, job } = await showing(t, { models: status }, { viewport: PHONE });
  const widths = () => page.evaluate('[document.documentElement.scrollWidth, document.body.scrollWidth]');
  await job.getByText('Runs as a table').click();
  assert.deepEqual(await widths(), [360, 360]);
  await job.getByRole('button', { name: 'Backfill', exact: true }).click();
  const box = await page.getByRole('dialog').boundingBox();
  assert.ok(box && box.x >= 0 && box.x + box.width <= 360, JSON.stringify(box));
  const overflow = () =>
    page.evaluate('document.querySelector("dialog").scrollWidth - document.querySelector("dialog").clientWidth');
  assert.equal(await overflow(), 0);
  assert.deepEqual(await widths(), [360, 360]);
  await page.setViewportSize({ width: 800, height: 620 });
  assert.equal(await overflow(), 0);
});

test('The strip is one stop of the tab key, its arrows go from run to run, and each says what became of it and why.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const { page, job } = await showing(t, { models });
  const strip = job.locator('.strip');
  assert.equal(await strip.getByRole('button').count(), 46, '44 runs, a gap, and ticks that were skipped');
  assert.equal(await strip.locator('button[tabindex="0"]').count(), 1);
  await job.getByRole('button', { name: 'Reset', exact: true }).focus();
  await page.keyboard.press('Tab');
  const focused = strip.locator('button:focus');
  assert.match((await focused.getAttribute('aria-label')) ?? '', /^Tick, .*: completed after .*; .* read, .* written/);
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowLeft');
  const seen: string[] = [];
  for (let index = 0; index < 46; index++) {
    const label = (await focused.getAttribute('aria-label')) ?? '';
    assert.equal(await job.locator('.tip').textContent(), label);
    seen.push(label);
    await page.keyboard.press('ArrowRight');
  }
  const matching = (pattern: RegExp) => seen.filter((label) => pattern.test(label)).length;
  assert.equal(matching(/: failed after 6\.0 s, TargetDownError: 100 records in a row were not taken: status 503;/), 2);
  assert.equal(matching(/: partial after .*, deadline: the time of the invocation is used up;/), 2);
  assert.equal(matching(/^Nothing ran for 2 h /), 1);
  assert.equal(matching(/^2 ticks found the lock held and were skipped/), 1);
  assert.equal(matching(/^Backfill, /), 1);
  await strip.locator('button.failed').first().hover();
  assert.match((await job.locator('.tip').textContent()) ?? '', /TargetDownError/);
  // The outcome is told by a sign too, not by the colour alone.
  assert.equal(await strip.locator('button.failed svg').count(), 2);
});

test('Whatever strangers wrote stands there as text.', { timeout: TIMEOUT_MS }, async (t) => {
  const html = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
  const status = (): Status => {
    const { lastRun, history, ...rest } = models();
    const error = { name: html, code: html, message: html };
    const run = { ...history[0]!, status: 'failed' as const, error, reason: html, startedBy: html };
    const heldBy = { ...rest.heldBy!, host: html, kind: html };
    return {
      ...rest,
      heldBy,
      failed: [{ id: html, attempts: 1 }],
      failedCount: 1,
      history: [run],
      lastRun: { ...lastRun!, status: 'failed', error },
    };
  };
  const { page, job } = await showing(t, { models: status });
  await job.getByText('Runs as a table').click();
  assert.equal(await page.locator('img, section script').count(), 0);
  assert.equal(await job.locator('code').textContent(), html);
});

test('Nothing moves for a reader who wants that.', { timeout: TIMEOUT_MS }, async (t) => {
  const moves = (page: Page) => page.evaluate('document.getAnimations().length');
  const { page } = await showing(t, { models }, { reducedMotion: 'reduce' });
  assert.equal(await moves(page), 0);
  const { page: other } = await showing(t, { models }, { reducedMotion: 'no-preference' });
  assert.equal(await moves(other), 1);
});

test('A browser whose language is no language tag, as one without a locale says it, shows the page.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const { job } = await showing(t, { models }, { locale: 'en-US@posix' });
  await job.locator('.plot canvas').first().waitFor();
});

/** A page on functions that are invoked through Lambda's API at this address. */
async function invoking(t: TestContext, endpoint: string): Promise<Page> {
  const credentials = { accessKeyId: 'a', secretAccessKey: 'b' };
  const config = { endpoint, region: 'eu-central-1', credentials };
  const jobs = await deployedJobs([{ job: 'models', shards: 1 }], config, (name) => `solotick-prod-${name}`);
  return await opened(t, jobs);
}

test('The page tells apart expired credentials, a function that is not there, one that fails, and says what to do.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  let answers: { status: number; type: string; body: object; functionError?: boolean };
  await using lambda = await serve((_, response) => {
    response.writeHead(answers.status, {
      'content-type': 'application/json',
      ...(answers.functionError ? { 'x-amz-function-error': 'Unhandled' } : { 'x-amzn-errortype': answers.type }),
    });
    response.end(JSON.stringify(answers.body));
  });
  answers = { status: 403, type: 'ExpiredTokenException', body: { message: 'The security token has expired' } };
  const page = await invoking(t, lambda.url);
  const trouble = page.locator('.trouble');
  await trouble.getByText(/AWS credentials have expired.*security token.*Sign in again.*aws sso login/).waitFor();

  answers = { status: 403, type: 'AccessDeniedException', body: { message: 'not authorized' } };
  await trouble.getByText(/AWS does not allow it.*lambda:InvokeFunction/).waitFor();

  answers = { status: 404, type: 'ResourceNotFoundException', body: { Message: 'Function not found' } };
  await trouble.getByText(/The function is not there.*Deploy the stage/).waitFor();

  const failure = { errorType: 'LockServiceError', errorMessage: 'no endpoint answered' };
  answers = { status: 200, type: '', body: failure, functionError: true };
  await trouble.getByText(/LockServiceError: no endpoint answered.*Look at etcd/).waitFor();

  answers = { status: 200, type: '', body: models() };
  await trouble.waitFor({ state: 'detached' });
  await page.getByText('Running', { exact: true }).waitFor();

  // What was known stays, with its time.
  answers = { status: 403, type: 'ExpiredTokenException', body: { message: 'The security token has expired' } };
  await trouble.getByText(/Below is what was known at \d\d:\d\d:\d\d/).waitFor();
  await page.getByText('120 removals withheld').waitFor();
});

test('The page says that AWS cannot be reached.', { timeout: TIMEOUT_MS }, async (t) => {
  const closed = await serve(() => {});
  await closed[Symbol.asyncDispose]();
  const page = await invoking(t, closed.url);
  await page.getByText(/AWS cannot be reached.*ECONNREFUSED.*Look at the network/).waitFor();
  await page.getByText('Unknown', { exact: true }).waitFor();
});

test('When the console has ended, the page says so and how old it is; it goes on by itself when asked to look again.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const served = await serving(jobsAnswering({ models }));
  t.after(() => served[Symbol.asyncDispose]());
  const { url } = served;
  const context = await browser.newContext({ locale: 'en-GB' });
  t.after(() => context.close());
  const page = await context.newPage();
  await page.clock.install();
  await page.goto(url);
  await page.getByText('Running', { exact: true }).waitFor();
  // As after a sleep: no timer has run, and the network is not there yet.
  await context.setOffline(true);
  await page.clock.fastForward('02:00:00');
  const banner = page.getByRole('alert').filter({ hasText: 'console' });
  await banner
    .getByText(/The console on this machine does not answer.*open the address.*What you see is of .*\d\d:\d\d:\d\d/)
    .waitFor();
  await page.getByText(/^Updated 2 h 0 min ago$/).waitFor();
  // A text that changes would be read out again and again.
  const said = await banner.textContent();
  await page.clock.fastForward('01:05');
  await page.getByText(/^Updated 2 h 1 min ago$/).waitFor();
  assert.equal(await banner.textContent(), said);
  await context.setOffline(false);
  await page.evaluate('window.dispatchEvent(new Event("online"))');
  await banner.waitFor({ state: 'detached' });
  await page.getByText(/^Updated \d s ago$/).waitFor();
});
