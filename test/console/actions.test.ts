import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import type { Browser, Locator, Page } from 'playwright-core';
import { type Console, startConsole } from '../../infra/console/server.ts';
import { type LocalCloud, startCloud } from '../../infra/local/cloud.ts';
import { announcedJobs } from '../../infra/operate/jobs.ts';
import { startBrowser } from '../support/browser.ts';
import { model } from '../support/world.ts';
import { openPage } from './open-page.ts';

const TIMEOUT_MS = 300_000;
const STATE = '/solotick/dev/models/state/';

let cloud: LocalCloud;
let served: Console;
let browser: Browser;

before(async () => {
  cloud = await startCloud({ stage: 'dev' });
  cloud.source.records = Array.from({ length: 5 }, (_, index) => model(index));
  const jobs = await announcedJobs({ url: cloud.lambdaUrl, stage: 'dev', jobs: [{ job: 'models', shards: 1 }] });
  const timer = { expression: 'rate(15 minutes)', timezone: 'UTC', enabled: true, start: new Date().toISOString() };
  served = await startConsole({
    ...{ stage: 'dev', local: true, jobs, timers: [{ job: 'models', timer }], startedBy: 'a test' },
  });
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await served?.[Symbol.asyncDispose]();
  await cloud?.[Symbol.asyncDispose]();
});

/** What etcd holds under a key of the state; undefined for none. */
async function saved(key: string) {
  const text = await cloud.etcd.etcdctl(['get', STATE + key, '--print-value-only']);
  return text.trim() ? JSON.parse(text) : undefined;
}

const save = (key: string, value: unknown) => cloud.etcd.etcdctl(['put', STATE + key, JSON.stringify(value)]);

async function open(t: TestContext): Promise<{ page: Page; job: Locator }> {
  const page = await openPage(t, { browser, url: served.url });
  return { page, job: page.getByRole('region', { name: 'models' }) };
}

/** Presses a button of the job and the one that confirms, and waits for what the page says came of it. */
async function confirm(page: Page, job: Locator, button: string, verb: string, outcome: RegExp) {
  await job.getByRole('button', { name: button, exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: verb, exact: true }).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.getByRole('status').filter({ hasText: outcome }).waitFor();
}

test('A tick that is asked for on the page runs, and the page says what it did.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const { page, job } = await open(t);
  await job.getByText('Waiting', { exact: true }).waitFor();
  assert.match((await job.textContent()) ?? '', /The next tick is due in \d+/);
  await confirm(page, job, 'Tick now', 'Tick now', /The tick is completed: 5 read, 5 written/);
  assert.equal(cloud.target.models.size, 5);
  const { last } = await saved('run');
  assert.partialDeepStrictEqual(last, { status: 'completed', report: { written: 5 } });
});

test('A tick that runs is seen, and so is one that it kept away, in the strip and in the table.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const { page, job } = await open(t);
  cloud.source.records = Array.from({ length: 6 }, (_, index) => model(index));
  cloud.target.latencyMs = 6000;
  await confirm(page, job, 'Reset', 'Reset', /The unfinished pass was forgotten/);
  const writing = cloud.target.nextRequest();
  await job.getByRole('button', { name: 'Tick now', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Tick now', exact: true }).click();
  await writing;
  const { payload } = await cloud.functions.sync.invoke({});
  assert.partialDeepStrictEqual(payload, { status: 'skipped', reason: 'locked' });
  await job.getByText(/A tick holds the lock for .* on .*, fencing token \d+\./).waitFor();
  await page
    .getByRole('status')
    .filter({ hasText: /The tick is completed: .*1 written/ })
    .waitFor();
  cloud.target.latencyMs = 0;
  await confirm(page, job, 'Tick now', 'Tick now', /The tick is completed: /);
  const strip = job.locator('.strip');
  await strip.getByRole('button', { name: /^1 tick found the lock held and was skipped/ }).waitFor();
  const history = await saved('history');
  assert.equal(await strip.locator('li.run').count(), history.runs.length);
  await job.getByText('Runs as a table').click();
  assert.equal(await job.locator('tbody tr').count(), history.runs.length);
  await job.getByRole('figure').waitFor();
});

test('Cancel and Escape do nothing, and give the keyboard back to the button.', { timeout: TIMEOUT_MS }, async (t) => {
  const { page, job } = await open(t);
  const button = job.getByRole('button', { name: 'Pause', exact: true });
  await button.click();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await button.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await job.locator('button:focus', { hasText: 'Pause' }).waitFor();
  assert.equal(await saved('pause'), undefined);
});

test('A pause with a note is in etcd and on the page until it is resumed.', { timeout: TIMEOUT_MS }, async (t) => {
  const { page, job } = await open(t);
  await job.getByRole('button', { name: 'Pause', exact: true }).click();
  await page.getByLabel(/Note/).fill('the target moves <b>soon</b>');
  await page.getByRole('dialog').getByRole('button', { name: 'Pause', exact: true }).click();
  await job.getByText('Paused', { exact: true }).waitFor();
  await job.getByText(/The timer is paused since \S+: the target moves <b>soon<\/b>/).waitFor();
  assert.equal((await saved('pause')).note, 'the target moves <b>soon</b>');

  await confirm(page, job, 'Tick now', 'Tick now', /The tick was skipped: .*paused/);
  await confirm(page, job, 'Resume', 'Resume', /The timer goes on/);
  await job.getByText('Waiting', { exact: true }).waitFor();
  assert.equal(await saved('pause'), undefined);
});

test('A reset takes what was chosen and leaves the rest; while a run holds the lock, nothing is reset.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const { page, job } = await open(t);
  const reset = async (part: string, outcome: RegExp, to?: string) => {
    await job.getByRole('button', { name: 'Reset', exact: true }).click();
    await page.getByLabel(part).check();
    if (to) await page.getByLabel(/Read from/).fill(to);
    await page.getByRole('dialog').getByRole('button', { name: 'Reset', exact: true }).click();
    await page.getByRole('status').filter({ hasText: outcome }).waitFor();
  };
  await reset('The watermark', /The watermark was reset/, '2026-01-02T03:04:05');
  assert.equal((await saved('watermark')).at, '2026-01-02T03:04:05.000Z');

  await save('checkpoint', { failed: [{ id: 'model-00001', attempts: 1 }], deadLettered: [] });
  await reset('The list of failed records', /The list of failed records was emptied/);
  assert.deepEqual((await saved('checkpoint')).failed, []);

  const key = '/solotick/dev/models/lock/somebody';
  await cloud.etcd.etcdctl(['put', key, '']);
  try {
    await job.getByText(/Another program holds the lock: key .*somebody/).waitFor();
    await job.getByText('Running', { exact: true }).waitFor();
    await reset('The unfinished pass', /Nothing was reset: the lock is held/);
  } finally {
    await cloud.etcd.etcdctl(['del', key]);
  }
});

test('Failed records are listed by their ids, whatever these contain, and a retry writes them.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const id = '<img src=x onerror="document.title=1">\u202etxt';
  cloud.source.records = [...cloud.source.records, { ...model(6), id, updatedAt: new Date().toISOString() }];
  cloud.target.refuse = (body) => ((body as { name: string }).name === model(6).name ? 422 : undefined);
  const { page, job } = await open(t);
  await confirm(page, job, 'Tick now', 'Tick now', /1 failed/);
  await job.getByRole('heading', { name: '1 failed record' }).waitFor();
  await job.getByText(/^failed: <img src=x onerror="document\.title=1">\\u202etxt: .*422/).waitFor();
  assert.equal(await job.locator('code').textContent(), '<img src=x onerror="document.title=1">\\u202etxt');
  assert.equal(await page.locator('img').count(), 0);
  await job.getByText(/: 1 attempt, .*422/).waitFor();

  cloud.target.refuse = undefined;
  await confirm(page, job, 'Retry now', 'Retry now', /Of 1 failed records: 1 read, 1 written/);
  assert.ok(cloud.target.models.has(id));
  await confirm(page, job, 'Tick now', 'Tick now', /The tick is completed/);
  await job.getByRole('heading', { name: '1 failed record' }).waitFor({ state: 'detached' });
  assert.deepEqual((await saved('checkpoint'))?.failed ?? [], []);
});

test('A dry run in the dialog names what would be written and writes nothing.', { timeout: TIMEOUT_MS }, async (t) => {
  cloud.source.records = Array.from({ length: 6 }, (_, index) => model(index));
  cloud.target.models.clear();
  const [first, ...others] = cloud.source.records as ReturnType<typeof model>[];
  for (const { id, ...body } of others) cloud.target.models.set(id, body);
  const writes = cloud.target.writes.length;
  const { page, job } = await open(t);
  await job.getByRole('button', { name: 'Backfill', exact: true }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Dry run first' }).click();
  await dialog.getByText('Say from when, or until when.').waitFor();
  await dialog.getByLabel('Everything').check();
  await dialog.getByRole('button', { name: 'Dry run first' }).click();
  await dialog.getByText(/A dry run, nothing was written: 6 read, 1 would be written, 5 unchanged/).waitFor();
  await dialog.getByText(`new: ${first!.id}`).waitFor();
  await dialog.getByLabel('Single records').check();
  await dialog.getByLabel(/Ids/).fill(`${first!.id}\nnobody`);
  await dialog.getByRole('button', { name: 'Dry run first' }).click();
  await dialog.getByText(/1 read, 1 would be written, 1 missing/).waitFor();
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  assert.equal(cloud.target.writes.length, writes);
});

test('Withheld removals are shown with what would go, and approved up to their number.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const body = { name: 'gone', updatedAt: new Date().toISOString(), limit: { context: 1, output: 1 } };
  for (let index = 0; index < 12; index++) cloud.target.models.set(`gone-${index}`, body);
  const { page, job } = await open(t);
  await job.getByRole('button', { name: 'Reset', exact: true }).click();
  await page.getByLabel('The watermark').check();
  await page.getByRole('dialog').getByRole('button', { name: 'Reset', exact: true }).click();
  await page
    .getByRole('status')
    .filter({ hasText: /watermark was reset/ })
    .waitFor();
  await confirm(page, job, 'Tick now', 'Tick now', /The tick is completed/);
  await job.getByRole('heading', { name: '12 removals withheld' }).waitFor();
  assert.ok(cloud.target.models.has('gone-3'));

  await confirm(page, job, 'Show what would go', 'Compare', /12 records would be removed/);
  await job.getByText('vanished: gone-3').waitFor();
  await confirm(page, job, 'Approve up to 12', 'Approve up to 12', /may remove up to 12 records/);
  assert.equal((await saved('removals')).approvedUpTo, 12);
  await job.getByText(/Up to 12 are approved: the next full pass removes them/).waitFor();
  await confirm(page, job, 'Withdraw the approval', 'Withdraw', /The approval was withdrawn/);
  assert.equal((await saved('removals')).approvedUpTo, undefined);
});

test('A backfill is started in the cloud, shown until it has ended, cancelled, and gone on with.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  cloud.source.records = Array.from({ length: 8000 }, (_, index) => model(index));
  cloud.target.models.clear();
  const { page, job } = await open(t);
  const start = async (since: string, until: string, before = 'nothing yet') => {
    await job.getByRole('button', { name: 'Backfill', exact: true }).click();
    await page.getByLabel(/Changed at or after/).fill(since);
    await page.getByLabel(/and before/).fill(until);
    await page.getByRole('dialog').getByRole('button', { name: 'Start the backfill' }).click();
    await page
      .getByRole('status')
      .filter({ hasText: /The backfill [\w-]+ has started/, hasNotText: before })
      .waitFor();
    const said = (await page.getByRole('status').first().textContent()) ?? '';
    return / backfill ([\w-]+) has/.exec(said)?.[1] ?? assert.fail(said);
  };
  const first = await start('2026-01-01T00:00:00', '2026-01-01T00:10:00');
  await job.locator('.backfills li.completed', { hasText: '10 read, 10 written' }).waitFor();
  assert.equal(cloud.target.models.size, 10);
  assert.partialDeepStrictEqual((await saved(`backfills/${first}`)).detached, {
    status: 'completed',
    startedBy: 'a test',
  });

  cloud.target.latencyMs = 300;
  const second = await start('2026-01-01T00:00:00', '2027-01-01T00:00:00', first);
  const running = job.locator('.backfills li.running');
  await running.getByRole('progressbar').waitFor();
  await running.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel the backfill' }).click();
  await job.locator('.backfills li.cancelled').waitFor();
  cloud.target.latencyMs = 0;
  assert.equal((await saved(`backfills/${second}`)).detached.status, 'cancelled');
  assert.ok(cloud.target.models.size < 8000, `${cloud.target.models.size} written`);

  await confirm(page, job, 'Go on with it', 'Go on', /The backfill goes on where it was/);
  await job.locator('.backfills li.completed', { hasText: /8.000 read/ }).waitFor();
  assert.equal(cloud.target.models.size, 8000);
});
