import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import { newReport } from '../../lib/report.ts';
import { type HistoryEntry, history, putHistory } from '../../lib/state/history.ts';
import type { Wanted } from '../../lib/state/wanted.ts';

const at = '2026-11-24T12:00:00.000Z';
const run = (runId: string, more: Partial<HistoryEntry> = {}): HistoryEntry => ({
  ...{ runId, kind: 'tick', status: 'completed', startedAt: at, endedAt: at, fencingToken: '7', report: newReport() },
  ...more,
});
const wanted = (count: number): Wanted => ({ runId: 'run-0', at, revision: '5', count });

/** The history after these runs, as etcd holds it. `skips` is how many ticks had found the lock held when each took it. */
function after(runs: (HistoryEntry & { skips?: number })[]) {
  let before: v.InferOutput<typeof history> | undefined;
  let bytes = 0;
  for (const { skips, ...one } of runs) {
    const { value } = putHistory(
      '/state/',
      { ...(before && { history: before }), ...(skips && { wanted: wanted(skips) }) },
      one,
    ).request_put;
    bytes = value.length;
    before = v.parse(history, JSON.parse(String(value)));
  }
  return { ...before!, bytes };
}

test('The newest run comes first, and there are 50 at most.', () => {
  const { runs } = after(Array.from({ length: 60 }, (_, index) => run(`run-${index}`)));
  assert.deepEqual(
    runs.map(({ runId }) => runId),
    Array.from({ length: 50 }, (_, index) => `run-${59 - index}`),
  );
});

test('All runs together have at most 64 kB, and the oldest are dropped for that.', () => {
  const long = '\u0001'.repeat(290);
  const report = { ...newReport(), read: Number.MAX_SAFE_INTEGER, durationMs: Number.MAX_SAFE_INTEGER };
  const { runs, bytes } = after(
    Array.from({ length: 60 }, (_, index) =>
      run(`run-${index}`, { report, message: long, startedBy: long, host: long }),
    ),
  );
  assert.ok(bytes <= 64_000 && bytes > 60_000, `${bytes} bytes`);
  assert.equal(runs[0]?.runId, 'run-59');
  assert.ok(runs.length < 50 && runs.length > 5);
});

test('A message has at most 300 bytes, that of an error as well.', () => {
  const long = 'ü'.repeat(1000);
  const { runs } = after([run('run-1', { message: long, error: { name: 'E', code: 'C', message: long } })]);
  for (const message of [runs[0]?.message, runs[0]?.error?.message])
    assert.ok(message && Buffer.byteLength(message) <= 300 && message.startsWith('üü'));
});

test('A run has as many skips before it as there were since the run before it had taken the lock.', () => {
  const runs = [
    run('a', { runId: 'a' }),
    { ...run('b'), skips: 3 },
    { ...run('c'), skips: 3 },
    { ...run('d'), skips: 5 },
  ];
  const kept = after(runs);
  assert.equal(kept.skips, 5);
  assert.deepEqual(
    kept.runs.map(({ runId, skipsBefore }) => [runId, skipsBefore]),
    [
      ['d', 2],
      ['c', undefined],
      ['b', 3],
      ['a', undefined],
    ],
  );
  // The key that counts them was deleted by hand, and counts from the beginning again.
  assert.deepEqual(
    after([
      { ...run('a'), skips: 7 },
      { ...run('b'), skips: 2 },
    ]).runs[0]?.skipsBefore,
    undefined,
  );
});
