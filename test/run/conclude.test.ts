import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { test } from 'node:test';
import type { Backfill } from '../../lib/backfill-event.ts';
import { Interrupted, SourceError } from '../../lib/errors.ts';
import type { Tick } from '../../lib/event.ts';
import type { Budget } from '../../lib/lock/etcd.ts';
import type { Put } from '../../lib/lock/mutex.ts';
import { nothing } from '../../lib/lock/query.ts';
import { newReport } from '../../lib/report.ts';
import { concluding } from '../../lib/run/conclude.ts';
import type { HistoryEntry } from '../../lib/state/history.ts';
import { openPass } from '../../lib/state/pass-under-way.ts';
import { placesOf } from '../../lib/state/places.ts';
import type { RunRecord } from '../../lib/state/schemas.ts';

const startedMs = Date.parse('2026-01-05T12:00:00Z');
const signal = new AbortController().signal;

/** Ends a run that has `endsInMs` left and a lease that is certainly ours for `leaseMs`. */
async function conclude(options: {
  status?: RunRecord['status'];
  error?: Error;
  interrupted?: Interrupted;
  request?: Tick | Backfill;
  endsInMs?: number;
  leaseMs?: number;
  cut?: AbortController;
  unlocking?: (budget: Budget) => Promise<void>;
}) {
  const { status = 'completed', error, endsInMs = 10_000, leaseMs = 60_000, unlocking } = options;
  const { cut = new AbortController() } = options;
  const report = { ...newReport(), peakInFlight: 3 };
  const begun = { runId: 'run-1', startedAt: '2026-01-05T11:00:00.000Z', full: true, fingerprint: 'f', cursor: null };
  const pass = openPass({ ...begun, counts: newReport() }, 60);
  let budget: Budget | undefined;
  let last: RunRecord | undefined;
  let entry: HistoryEntry | undefined;
  const taken = {
    state: { consecutiveSkips: 0 },
    session: { signal, budget: () => ({ attemptMs: 2000, totalMs: leaseMs, signal }) },
    lock: {
      fencingToken: '7',
      unlock: async (operations: Put[], given: Budget) => {
        entry = JSON.parse(String(operations.at(-1)!.request_put.value)).runs[0];
        budget = given;
        await unlocking?.(given);
      },
    },
  } as never;
  const end = concluding({
    ...{ request: options.request ?? { kind: 'tick' }, runId: 'run-2', startedMs, taken, report, pass },
    places: placesOf({ lockKey: '/lock', statePrefix: '/state/', shards: 1 }),
    deadline: { endsInMs: () => endsInMs, cut: cut.signal } as never,
    leaving: {
      progress: () => assert.fail('a run saves its final state once'),
      final(record) {
        last = record;
        return [{ request_put: { key: Buffer.from('k'), value: Buffer.from('v') } }];
      },
    },
    way: { atUnlock: nothing },
    reached: () => ({
      pass: pass.current(),
      failed: [],
      deadLettered: [],
      givenUp: [],
      closedGeneration: undefined,
      recent: () => undefined,
    }),
  });
  await end(status, { ...(error && { error }), interrupted: options.interrupted });
  assert.ok(budget && last && entry);
  return { budget, last, report, counts: pass.current().counts, entry };
}

test('The unlock leaves time to revoke the lease and to answer, and takes at least half of what is left.', async () => {
  const unlockMs = async (endsInMs: number) => (await conclude({ endsInMs })).budget.totalMs;
  assert.equal(await unlockMs(10_000), 8750);
  assert.equal(await unlockMs(2500), 1250);
  assert.equal(await unlockMs(1000), 500);
});

test('The unlock ends while the lease is certainly ours, with the attempts and the signal of the session.', async () => {
  const cut = AbortSignal.abort();
  const { budget } = await conclude({ endsInMs: 60_000, leaseMs: 3000, cut: { signal: cut } as AbortController });
  assert.deepEqual(budget, { attemptMs: 2000, totalMs: 3000, signal });
});

test('An unlock that etcd has not answered by the cut is sent again, with the time that is left then.', async () => {
  const cut = new AbortController();
  const signals: (AbortSignal | undefined)[] = [];
  const { budget } = await conclude({
    cut,
    async unlocking({ signal: given }) {
      signals.push(given);
      if (signals.length > 1) return;
      cut.abort(new Error('half the reserve is used up'));
      given?.throwIfAborted();
    },
  });
  assert.equal(signals.length, 2);
  assert.equal(budget.signal, signal);
});

test('An unlock that fails for another reason is not sent again.', async () => {
  let unlocks = 0;
  const lost = new Error('lost');
  const unlocking = async () => {
    unlocks++;
    throw lost;
  };
  await assert.rejects(conclude({ unlocking }), lost);
  assert.equal(unlocks, 1);
});

test('A run leaves how it ended, how long it took and with which token, and its pass counts that too.', async (t) => {
  t.mock.method(Date, 'now', () => startedMs + 90_000);
  const { last, report, counts } = await conclude({ status: 'partial' });
  assert.deepEqual(last, {
    ...{ runId: 'run-2', kind: 'tick', status: 'partial', fencingToken: '7', report },
    ...{ startedAt: '2026-01-05T12:00:00.000Z', endedAt: '2026-01-05T12:01:30.000Z' },
  });
  assert.equal(report.durationMs, 90_000);
  assert.deepEqual([counts.durationMs, counts.peakInFlight], [90_000, 3]);
});

test('A failed run leaves the name, the code and the message of its error, whatever was thrown.', async () => {
  const errorOf = async (error: Error) => (await conclude({ status: 'failed', error })).last.error;
  const known = { name: 'SourceError', code: 'SOURCE', message: 'gone' };
  assert.deepEqual(await errorOf(new SourceError('gone')), known);
  assert.deepEqual(await errorOf(new TypeError('x')), { name: 'TypeError', code: 'UNKNOWN', message: 'x' });
  const odd = Object.assign(new Error('x'), { name: 7, message: { a: 1 } }) as unknown as Error;
  assert.deepEqual(await errorOf(odd), { name: '7', code: 'UNKNOWN', message: '[object Object]' });
});

test('The history says of a run why it is partial or failed, and what it was asked for.', async () => {
  const host = hostname();
  const interrupted = new Interrupted('yielded', 'it makes way');
  const partial = (request: Tick | Backfill) => conclude({ status: 'partial', interrupted, request });
  const scheduledTime = '2026-01-05T12:00:00.000Z';
  const { last, entry } = await partial({ kind: 'tick', scheduledTime });
  assert.deepEqual(entry, { ...last, host, scheduledTime, reason: 'yielded', message: 'it makes way' });
  const backfill: Backfill = { kind: 'backfill', waitSeconds: 0, dryRun: false };
  const begun = await partial(backfill);
  assert.deepEqual([begun.entry.kind, begun.entry.backfillId, begun.entry.startedBy], ['backfill', 'run-2', undefined]);
  const resumed = await partial({ ...backfill, backfillId: 'id', startedBy: 'me' });
  assert.deepEqual([resumed.entry.backfillId, resumed.entry.startedBy], ['id', 'me']);
  const failed = await conclude({ status: 'failed', error: new SourceError('gone') });
  assert.deepEqual([failed.entry.reason, failed.entry.message], ['SourceError', undefined]);
  assert.deepEqual(failed.entry.error, failed.last.error);
});

test('A clock that was set back gives no negative duration.', async (t) => {
  t.mock.method(Date, 'now', () => startedMs - 1000);
  assert.equal((await conclude({})).report.durationMs, 0);
});
