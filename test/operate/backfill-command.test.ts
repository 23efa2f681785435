import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { serve } from '../../infra/local/serve.ts';
import { comeBack, startBackfill } from '../../infra/operate/backfill.ts';
import { backfillCommand } from '../../infra/operate/backfill-command.ts';
import { describeStall, endOf, newsOf } from '../../infra/operate/backfill-lines.ts';
import { formatDuration } from '../../infra/operate/bar.ts';
import { formatCounts } from '../../infra/operate/counts.ts';
import { dryRun } from '../../infra/operate/dry-run.ts';
import { FunctionFailure, type Functions } from '../../infra/operate/functions.ts';
import { announcedJobs } from '../../infra/operate/jobs.ts';
import { type BackfillOptions, namedBackfill, readBackfillOptions } from '../../infra/operate/options.ts';
import { watch } from '../../infra/operate/watch.ts';
import { cut } from '../../infra/operate/windows.ts';
import { Refusal } from '../../infra/terminal/refusal.ts';
import { newReport } from '../../lib/report.ts';
import type { BackfillStatus } from '../../lib/run/backfill-status.ts';
import type { Result } from '../../lib/run/result.ts';
import type { Status } from '../../lib/run/status.ts';

const now = new Date('2026-03-01T12:30:00Z');
const never = new AbortController().signal;
const read = (options: BackfillOptions) => readBackfillOptions(options, now);
const counts = (written: number) => ({ ...newReport(), read: written, written });
const result = (rest: Omit<Result, 'job' | 'runId'>): Result => ({ job: 'models', runId: 'run-1', ...rest });
const isRefusal = (message: RegExp) => (error: Error) => error instanceof Refusal && message.test(error.message);

test('A range is cut into adjoining windows, the last of which may be shorter.', () => {
  assert.deepEqual(cut(read({ since: '2026-01-01', until: '2026-01-02T06:00:00+01:00', window: '12h' })), [
    { since: '2026-01-01T00:00:00.000Z', until: '2026-01-01T12:00:00.000Z' },
    { since: '2026-01-01T12:00:00.000Z', until: '2026-01-02T00:00:00.000Z' },
    { since: '2026-01-02T00:00:00.000Z', until: '2026-01-02T05:00:00.000Z' },
  ]);
  assert.equal(cut(read({ since: '2026-01-01', until: '2026-01-02', window: '1d' })).length, 1);
});

test('A range without an end ends now, and a request without windows is one part.', () => {
  assert.deepEqual(cut(read({ since: '2026-03-01', window: '7d' })), [
    { since: '2026-03-01T00:00:00.000Z', until: '2026-03-01T12:30:00.000Z' },
  ]);
  assert.deepEqual(cut(read({ until: '2026-03-01' })), [{ until: '2026-03-01T00:00:00.000Z' }]);
  assert.deepEqual(cut(read({ ids: 'a, b' })), [{ ids: ['a', 'b'] }]);
  assert.deepEqual(cut(read({ ids: '["a,b"]' })), [{ ids: ['a,b'] }]);
  assert.deepEqual(cut(read({ all: true })), [{}]);
});

test('The error for a wrong option names it.', () => {
  const wrong: [BackfillOptions, RegExp][] = [
    [{}, /say what to copy/],
    [{ all: true, ids: 'a' }, /exclude each other/],
    [{ since: '2026-01-02', until: '2026-01-02T00:00:00Z' }, /--since .* is not before --until/],
    [{ since: 'yesterday' }, /--since "yesterday" is not a time/],
    [{ until: '2026-01-01T00:00:00' }, /--until .* with its zone/],
    [{ since: '2026-13-01' }, /is not a time/],
    [{ until: '2026-02-29' }, /--until "2026-02-29" is not a time/],
    [{ until: '2026-01-01T24:00:00Z' }, /is not a time/],
    [{ since: '2026-01-01', window: '1x' }, /--window "1x" is not a length of time: expected 12h, 1d or 7d/],
    [{ since: '2026-01-01', window: '0d' }, /--window "0d"/],
    [{ until: '2026-01-01', window: '1d' }, /needs --since/],
    [{ all: true, window: '1d' }, /needs --since/],
    [{ all: true, concurrency: '0' }, /--concurrency "0"/],
    [{ ids: 'a,,b' }, /empty id/],
    [{ ids: '["a"' }, /not JSON/],
    [{ all: true, detach: true, 'dry-run': true }, /--dry-run and --detach exclude each other/],
  ];
  for (const [options, message] of wrong) assert.throws(() => read(options), isRefusal(message));
});

test('A backfill is named by one option, and is taken as it is.', () => {
  assert.equal(namedBackfill({ all: true }), undefined);
  assert.deepEqual(namedBackfill({ watch: 'id-1' }), { what: 'watch', id: 'id-1' });
  const wrong: [BackfillOptions, RegExp][] = [
    [{ watch: 'a', cancel: 'a' }, /--watch and --cancel exclude each other/],
    [{ resume: 'a', all: true }, /--resume is about a backfill as it is: leave out --all/],
    [{ watch: 'a', detach: true }, /--watch starts nothing: leave out --detach/],
    [{ cancel: 'a', concurrency: '5' }, /--cancel starts nothing: leave out --concurrency/],
    [{ cancel: 'a b' }, /--cancel "a b" is not an id: "serverless status --job …" lists them/],
  ];
  for (const [options, message] of wrong) assert.throws(() => namedBackfill(options), isRefusal(message));
});

test('The commands about a backfill repeat the options that choose the deployment, quoted for a shell.', () => {
  const where = { stage: 'prod', region: 'eu-central-1', job: 'models' };
  assert.deepEqual(comeBack('id-1', where), [
    'to watch it:  npx serverless backfill --stage prod --region eu-central-1 --job models --watch id-1',
    'to cancel it: npx serverless backfill --stage prod --region eu-central-1 --job models --cancel id-1',
  ]);
  assert.equal(
    backfillCommand({ local: true }, { ids: ['a,b', "it's"] }),
    `npx serverless backfill --local --ids '["a,b","it'\\''s"]'`,
  );
  assert.equal(backfillCommand({}, { ids: ['--foo'] }), 'npx serverless backfill --ids=--foo');
});

test('A start says what to copy and who asks, with an id of our own unless it is everything; a resume names its backfill only.', async () => {
  const events: Record<string, unknown>[] = [];
  const invoke = async (event: object) => {
    events.push({ ...event });
    return result({ status: 'started', report: newReport(), ...(events.length === 2 && { backfillId: 'theirs' }) });
  };
  const id = await startBackfill(read({ since: '2026-01-01', until: '2026-01-03', window: '1d' }), invoke, {}, never);
  assert.equal(await startBackfill(read({ all: true, concurrency: '5' }), invoke, {}, never), 'theirs');
  assert.equal(await startBackfill({ whole: {}, resume: 'earlier' }, invoke, {}, never), 'earlier');
  const range = { since: '2026-01-01T00:00:00.000Z', until: '2026-01-03T00:00:00.000Z', windowSeconds: 86_400 };
  const by = events[0]!.startedBy;
  assert.match(String(by), /^.+@.+$/);
  assert.deepEqual(events, [
    { ...range, backfillId: id, detach: true, startedBy: by, concurrency: undefined },
    { detach: true, startedBy: by, concurrency: 5 },
    { backfillId: 'earlier', detach: true, startedBy: by, concurrency: undefined },
  ]);
});

test('A start that fails says how to find out whether it has begun, unless the function has refused it.', async () => {
  const failing = (errorType: string) => () => Promise.reject(new FunctionFailure('backfill', { errorType }));
  const start = (errorType: string) => startBackfill(read({ since: '2026-01-01' }), failing(errorType), {}, never);
  for (const mayHaveBegun of ['LockServiceError', 'Sandbox.Timedout'])
    await assert.rejects(
      start(mayHaveBegun),
      isRefusal(/^backfill failed: .*\nwhether it has started.*\n.* --watch [\w-]{36}$/),
    );
  await assert.rejects(start('EventError'), isRefusal(/^backfill failed: EventError: $/));
});

test('Counts name what was left alone, what was removed and what went wrong, where there is any.', () => {
  const report = { ...newReport(), read: 9, written: 4 };
  assert.equal(formatCounts(report), '9 read, 4 written');
  const more = { ...report, unchanged: 2, removed: 1, failed: 3 };
  assert.equal(formatCounts(more), '9 read, 4 written, 2 unchanged, 1 removed, 3 failed');
  assert.equal(formatCounts(more, true), '9 read, 4 would be written, 2 unchanged, 1 would be removed, 3 failed');
});

test('A dry run prints a line for each window, and what would be written.', async () => {
  const lines: string[] = [];
  const bars: string[] = [];
  const answers = [
    result({ status: 'completed', report: counts(3), wouldWrite: ['a', 'b'] }),
    result({ status: 'completed', report: counts(2), problems: [{ id: 'c', kind: 'invalid', reason: 'no' }] }),
  ];
  const request = read({ since: '2026-01-01', until: '2026-01-03', window: '1d', 'dry-run': true });
  const terminal = { line: (text: string) => lines.push(text), bar: (text: string) => bars.push(text) };
  await dryRun(request, async () => answers.shift()!, terminal);
  assert.deepEqual(lines, [
    '[1/2] from 2026-01-01T00:00Z until 2026-01-02T00:00Z: completed, 3 read, 3 would be written; 0 s, about 0 s left',
    '  such as a, b',
    'invalid: c: no',
    '[2/2] from 2026-01-02T00:00Z until 2026-01-03T00:00Z: completed, 2 read, 2 would be written; 0 s, done',
    'total: 5 read, 5 would be written',
  ]);
  assert.match(bars[1]!, /^█{10}░{10} 50 % {2}window 2 of 2, 3 read, 3 would be written {2}0 s, about 0 s left$/);
  const partial = result({ status: 'partial', reason: 'deadline', report: counts(1) });
  await assert.rejects(
    dryRun(request, async () => partial, terminal),
    isRefusal(/try a shorter --window$/),
  );
  assert.deepEqual([9_600, 200_000, 7_805_000].map(formatDuration), ['10 s', '3 min 20 s', '2 h 10 min']);
});

const startedAt = '2026-03-01T12:00:00.000Z';
const nowMs = Date.parse('2026-03-01T12:00:20.000Z');
const backfill = (more: Partial<BackfillStatus> = {}): BackfillStatus => ({
  ...{ id: 'id-1', status: 'running', since: '2026-01-01T00:00:00.000Z', until: '2026-01-05T00:00:00.000Z' },
  ...{ windows: 4, window: 0, shards: 1, shardsDone: 0, done: 0, counts: counts(0), attempts: 0 },
  ...{ startedAt, updatedAt: startedAt },
  ...more,
});
const status = (one: BackfillStatus, more: Partial<Status> = {}): Status => ({
  ...{ job: 'models', stage: 'dev', lockKey: '/lock', paused: false, consecutiveSkips: 0, failed: [], history: [] },
  ...{ backfills: [one], ...more },
});

test('Watching prints a line for each window that is through, and for each error with what happens next.', () => {
  const through = backfill({ window: 2, done: 0.5, counts: counts(10) });
  assert.deepEqual(newsOf(undefined, backfill(), nowMs), [
    'backfill id-1: from 2026-01-01T00:00Z until 2026-01-05T00:00Z, 4 windows',
  ]);
  assert.deepEqual(newsOf(backfill(), through, nowMs), [
    'window 2 of 4 is through: 10 read, 10 written; 20 s, about 20 s left',
  ]);
  assert.deepEqual(newsOf(through, through, nowMs), []);
  const lastError = { name: 'TargetDownError', code: 'TARGET_DOWN', message: 'no answer' };
  const failing = { ...through, attempts: 1, lastError, notBefore: '2026-03-01T12:00:24.000Z' };
  assert.deepEqual(newsOf(through, failing, nowMs), [
    'TargetDownError: no answer; it goes on at 2026-03-01T12:00:24.000Z (attempt 1 of 5 without progress)',
  ]);
  assert.deepEqual(newsOf(through, { ...through, notBefore: '2026-03-01T13:00:00.000Z' }, nowMs), [
    'a server wants to be left alone: it goes on at 2026-03-01T13:00:00.000Z',
  ]);
  assert.equal(describeStall(through, nowMs, {}), undefined);
  assert.match(
    describeStall(through, nowMs + 30 * 60_000, {}) ?? '',
    /^nothing has happened since .*: to send its next step once more: npx .* --resume id-1$/,
  );
  const shards = { ...through, shards: 3, shardsDone: 1 };
  assert.deepEqual(newsOf(through, shards, nowMs), [
    '1 of 3 shards are through: 10 read, 10 written; 20 s, about 20 s left',
  ]);
});

test('At its end, a backfill says how it ended and what to do next.', () => {
  const endedAt = '2026-03-01T12:03:20.000Z';
  const end = (more: Partial<BackfillStatus>, whole: Partial<Status> = {}) => {
    const one = backfill({ endedAt, ...more });
    return endOf(status(one, whole), one, {});
  };
  assert.deepEqual(end({ status: 'completed', counts: counts(7) }), [
    'completed: 7 read, 7 written; it took 3 min 20 s',
  ]);
  const resume = '  npx serverless backfill --resume id-1';
  const lastError = { name: 'NoProgressError', code: 'NO_PROGRESS', message: 'five times' };
  assert.deepEqual(end({ status: 'failed', lastError }), [
    'failed: NoProgressError: five times',
    '0 read, 0 written; to go on with it where it was, once that is mended:',
    resume,
  ]);
  assert.deepEqual(end({ status: 'cancelled' }), [
    'cancelled: 0 read, 0 written; what is written stays; to go on with it where it was:',
    resume,
  ]);
  const {
    since: _,
    until: __,
    ...everything
  } = backfill({
    ...{ status: 'completed', endedAt, failedCount: 3, failed: ['a', 'b c'], counts: { ...counts(1), invalid: 1 } },
  });
  assert.deepEqual(endOf(status(everything, { removalsWithheld: 12 }), everything, {}).slice(1), [
    '0 missing and 1 invalid records: the log of the function backfill names the first ones',
    "not written: 3 records, 1 of them named only in the function's log; to write the others again:",
    "  npx serverless backfill --ids 'a,b c'",
    '12 vanished records were not removed: "serverless status --job …" says what to do',
  ]);
});

test('Watching ends with the backfill, outlasts an answer that is lost, and says which backfills there are.', async () => {
  const lines: string[] = [];
  const tools = { line: (text: string) => lines.push(text), bar() {}, where: {}, stop: new AbortController().signal };
  const answers = [
    () => status(backfill({ updatedAt: new Date().toISOString() })),
    () => Promise.reject(new Refusal('control could not be invoked')),
    () => status(backfill({ status: 'completed', window: 4, done: 1, counts: counts(4) })),
  ];
  const control = async () => (answers.shift() ?? assert.fail('asked again'))();
  assert.equal((await watch('id-1', { ...tools, control }))?.backfill.status, 'completed');
  assert.equal(lines[1], 'control could not be invoked; the backfill goes on, and this command asks again');
  assert.match(lines[2]!, /^window 4 of 4 is through: 4 read, 4 written; .*done$/);
  const other = watch('id-2', { ...tools, control: async () => status(backfill()) });
  await assert.rejects(other, isRefusal(/^there is no backfill id-2 among the last ones: id-1$/));
});

test('Watching says who else has the lock, once, where it has it for more than a moment.', async () => {
  const lines: string[] = [];
  const tools = { line: (text: string) => lines.push(text), bar() {}, where: {}, stop: new AbortController().signal };
  const one = backfill({ updatedAt: new Date().toISOString() });
  const holder = {
    key: '/lock/1',
    leaseId: '1',
    createRevision: '7',
    kind: 'tick',
    startedAt: '2026-03-01T12:00:00.000Z',
  };
  const held = (runId: string, more: object = {}) => status(one, { heldBy: { ...holder, runId, ...more } });
  const answers = [
    ...[held('run-1'), held('run-2'), held('run-2'), held('run-2'), held('run-3', { backfillId: 'id-1' })],
    status(backfill({ status: 'completed', window: 4, done: 1, counts: counts(4) })),
  ];
  await watch('id-1', { ...tools, control: async () => answers.shift() ?? assert.fail('asked again') });
  const waits = lines.filter((text) => text.startsWith('waits for the lock'));
  assert.deepEqual(waits, ['waits for the lock, which tick run-2 has held since 2026-03-01T12:00:00.000Z']);
});

test('Watching ends with the npm run dev that runs the backfill, and does not say that the backfill goes on.', async () => {
  const gone = await serve(() => {});
  await gone[Symbol.asyncDispose]();
  const jobs = await announcedJobs({ url: gone.url, stage: 'dev', jobs: [{ job: 'models', shards: 1 }] });
  const lines: string[] = [];
  const tools = { line: (text: string) => lines.push(text), bar() {}, stop: new AbortController().signal };
  const { control } = jobs.of('models');
  await assert.rejects(
    watch('id-1', { ...tools, where: { local: true }, control }),
    isRefusal(/^npm run dev is not running any more, and backfill id-1 has stopped with it$/),
  );
  assert.deepEqual(lines, []);
});

test('Ctrl-C ends the watching at once, also while nobody answers.', async () => {
  const stop = new AbortController();
  const control: Functions['control'] = (_, signal) => {
    const { promise, reject } = Promise.withResolvers<Status>();
    signal?.addEventListener('abort', () => reject(new Refusal('control could not be invoked: AbortError')));
    setImmediate(() => stop.abort());
    return promise;
  };
  const lines: string[] = [];
  const tools = { line: (text: string) => lines.push(text), bar() {}, where: {}, stop: stop.signal, control };
  const waited = sleep(30_000, 'still waiting', { ref: false });
  assert.equal(await Promise.race([watch('id-1', tools), waited]), undefined);
  assert.deepEqual(lines, []);
});

test('A job in shards is read shard by shard within each window, or in one shard alone.', () => {
  const options = { since: '2026-01-01', until: '2026-01-03', window: '1d' };
  const parts = cut(readBackfillOptions(options, now, 2));
  assert.deepEqual(
    parts.map(({ since, shard }) => [since, shard?.index]),
    [
      ['2026-01-01T00:00:00.000Z', 0],
      ['2026-01-01T00:00:00.000Z', 1],
      ['2026-01-02T00:00:00.000Z', 0],
      ['2026-01-02T00:00:00.000Z', 1],
    ],
  );
  const request = readBackfillOptions({ ...options, shard: '1' }, now, 2);
  assert.deepEqual(cut(request), [parts[1], parts[3]]);
  assert.throws(() => readBackfillOptions({ ...options, shard: '2' }, now, 2), /--shard "2" must be/);
});
