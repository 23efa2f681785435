import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backfill } from '../../infra/operate/backfill.ts';
import { formatCounts } from '../../infra/operate/counts.ts';
import { type BackfillOptions, readBackfillOptions } from '../../infra/operate/options.ts';
import { createProgress, formatDuration } from '../../infra/operate/progress.ts';
import { resumeCommand } from '../../infra/operate/resume-command.ts';
import { cut } from '../../infra/operate/windows.ts';
import { Refusal } from '../../infra/terminal/refusal.ts';
import { newReport } from '../../lib/report.ts';
import type { Result } from '../../lib/run/result.ts';

const now = new Date('2026-03-01T12:30:00Z');
const read = (options: BackfillOptions) => readBackfillOptions(options, now);
const counts = (written: number) => ({ ...newReport(), read: written, written });
const result = (rest: Omit<Result, 'job' | 'runId'>): Result => ({ job: 'models', runId: 'run-1', ...rest });

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
    [{ all: true, wait: '901' }, /--wait "901" must be a whole number from 0 to 900/],
    [{ all: true, concurrency: '0' }, /--concurrency "0"/],
    [{ ids: 'a,,b' }, /empty id/],
    [{ ids: '["a"' }, /not JSON/],
    [{ all: true, resume: 'a b' }, /--resume "a b" is not an id/],
    [{ all: true, resume: 'a', 'dry-run': true }, /exclude each other/],
  ];
  for (const [options, message] of wrong) {
    assert.throws(
      () => read(options),
      (error) => error instanceof Refusal && message.test(error.message),
    );
  }
});

test('The command to continue repeats the options from the unfinished window on, quoted for a shell.', () => {
  const request = read({ since: '2026-01-01', until: '2026-01-04', window: '1d', wait: '30', concurrency: '5' });
  const rest = { part: cut(request)[1] ?? {}, backfillId: 'id-1' };
  assert.equal(
    resumeCommand(request, rest, { stage: 'prod', region: 'eu-central-1' }),
    'npx serverless backfill --stage prod --region eu-central-1 --since 2026-01-02T00:00:00.000Z --until 2026-01-04T00:00:00.000Z --window 1d --wait 30 --concurrency 5 --resume id-1',
  );
  const ids = read({ ids: `["a,b","it's"]` });
  assert.equal(
    resumeCommand(ids, { part: ids.whole }, { local: true }),
    `npx serverless backfill --local --ids '["a,b","it'\\''s"]'`,
  );
  const all = read({ all: true });
  assert.equal(resumeCommand(all, { part: {} }, {}), 'npx serverless backfill --all');
  const dashes = read({ ids: '--foo' });
  assert.equal(resumeCommand(dashes, { part: dashes.whole }, {}), 'npx serverless backfill --ids=--foo');
});

test('Each window has its own id, which its continuations repeat; the first id may come from an earlier command.', async () => {
  const request = read({ since: '2026-01-01', until: '2026-01-03', window: '1d', resume: 'earlier' });
  const answers = [
    result({ status: 'partial', reason: 'deadline', backfillId: 'earlier', report: counts(1) }),
    result({ status: 'completed', backfillId: 'earlier', report: counts(1) }),
    result({ status: 'completed', report: counts(1) }),
  ];
  const events: Record<string, unknown>[] = [];
  const invoke = async (event: object) => {
    events.push({ ...event });
    return answers[events.length - 1]!;
  };
  const stop = new AbortController().signal;
  using progress = createProgress(2, false, { line() {}, bar() {} });
  assert.equal(await backfill(request, { invoke, progress, stop, howToResume: () => '' }), undefined);
  assert.deepEqual(
    events.map(({ since, waitSeconds }) => [since, waitSeconds]),
    [
      ['2026-01-01T00:00:00.000Z', 0],
      ['2026-01-01T00:00:00.000Z', 60],
      ['2026-01-02T00:00:00.000Z', 60],
    ],
  );
  const [first, second, third] = events.map(({ backfillId }) => backfillId);
  assert.deepEqual([first, second], ['earlier', 'earlier']);
  assert.match(String(third), /^[\w-]{36}$/);
});

test('A backfill that stops within a window continues by its id, and an error says how.', async () => {
  const request = read({ all: true });
  const stop = new AbortController();
  const howToResume = (rest: object) => JSON.stringify(rest);
  using progress = createProgress(1, false, { line() {}, bar() {} });
  const partial = result({ status: 'partial', reason: 'throttled', backfillId: 'run-1', report: counts(1) });
  const throttled = async () => {
    stop.abort();
    return partial;
  };
  const shared = { progress, stop: stop.signal, howToResume };
  assert.deepEqual(await backfill(request, { ...shared, invoke: throttled }), { part: {}, backfillId: 'run-1' });

  const answers = [{ ...partial, reason: 'deadline' as const }];
  const failing = async () => answers.pop() ?? Promise.reject(new Refusal('backfill failed: TargetDownError: down'));
  await assert.rejects(backfill(request, { ...shared, stop: new AbortController().signal, invoke: failing }), {
    message: 'backfill failed: TargetDownError: down\n{"part":{},"backfillId":"run-1"}',
  });
});

test('Counts name what was left alone, what was removed and what went wrong, where there is any.', () => {
  const report = { ...newReport(), read: 9, written: 4 };
  assert.equal(formatCounts(report), '9 read, 4 written');
  const more = { ...report, unchanged: 2, removed: 1, failed: 3 };
  assert.equal(formatCounts(more), '9 read, 4 written, 2 unchanged, 1 removed, 3 failed');
  assert.equal(formatCounts(more, true), '9 read, 4 would be written, 2 unchanged, 1 would be removed, 3 failed');
});

test('Removals that a backfill of everything has withheld are printed below its counts.', () => {
  const lines: string[] = [];
  using progress = createProgress(1, false, { line: (text) => lines.push(text), bar() {} });
  progress.begin(0, {});
  progress.add(result({ status: 'completed', report: counts(3), removalsWithheld: 12 }));
  assert.equal(lines[1], '  12 vanished records were not removed: "serverless status" says what to do');
});

test('The bar shows the window, the counts of all windows, and the expected remaining time.', () => {
  const lines: string[] = [];
  const bars: string[] = [];
  const progress = createProgress(4, false, { line: (text) => lines.push(text), bar: (text) => bars.push(text) });
  progress.begin(0, { since: '2026-01-01T00:00:00.000Z', until: '2026-01-02T00:00:00.000Z' });
  assert.match(bars.at(-1) ?? '', /^░{20} 0 % {2}window 1 of 4, 0 read, 0 written {2}0 s, remaining time unknown$/);
  progress.add(
    result({
      ...{ status: 'partial', reason: 'deadline', report: counts(3) },
      ...{ problems: [{ id: 'a', kind: 'failed', reason: 'no' }], failedIds: ['a'] },
    }),
  );
  progress.add(result({ status: 'completed', report: counts(2), pass: { ...counts(5), failed: 1 } }));
  progress.begin(1, { since: '2026-01-02T00:00:00.000Z' });
  progress.add(result({ status: 'completed', report: counts(5), failedIds: ['b c'] }));
  progress[Symbol.dispose]();
  assert.match(
    bars.at(-1) ?? '',
    /^█{10}░{10} 50 % {2}window 2 of 4, 10 read, 10 written, 1 failed {2}0 s, about 0 s left$/,
  );
  assert.deepEqual(lines, [
    'failed: a: no',
    '[1/4] from 2026-01-01T00:00Z until 2026-01-02T00:00Z: partial (deadline), 3 read, 3 written; 0 s, remaining time unknown',
    '[1/4] from 2026-01-01T00:00Z until 2026-01-02T00:00Z: completed, 5 read, 5 written, 1 failed; 0 s, about 0 s left',
    '[2/4] from 2026-01-02T00:00Z: completed, 5 read, 5 written; 0 s, about 0 s left',
    "to write the failed records again: --ids 'a,b c'",
    'total: 10 read, 10 written, 1 failed',
  ]);
  assert.deepEqual([9_600, 200_000, 7_805_000].map(formatDuration), ['10 s', '3 min 20 s', '2 h 10 min']);
});

test('A job in shards is copied shard by shard within each window, and resumed within one.', () => {
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
  assert.deepEqual(cut(request), parts.slice(1));
  assert.match(resumeCommand(request, { part: parts[3]! }, {}), /--since 2026-01-02T00:00:00.000Z .* --shard 1/);
  assert.throws(() => readBackfillOptions({ ...options, shard: '2' }, now, 2), /--shard "2" must be/);
});
