import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Budget } from '../../lib/lock/etcd.ts';
import { newReport } from '../../lib/report.ts';
import { openKeeping } from '../../lib/run/keeping.ts';
import { readSettings } from '../../lib/settings/config.ts';
import { placesOf } from '../../lib/state/places.ts';
import type { State } from '../../lib/state/state.ts';
import { job } from '../support/job.ts';
import { record } from '../support/pipeline.ts';
import { recordedLog } from '../support/recorded-log.ts';

const settings = readSettings(
  {
    ...{ STAGE: 'test', SECRET_ID: 'test', SOURCE_URL: 'http://source', TARGET_URL: 'http://target' },
    ...{ TARGET_REGION_ID: 'eu', ETCD_ENDPOINTS: 'http://etcd:2379', LOCK_TTL_SECONDS: '20' },
  },
  'models',
);

/** What a tick keeps that has just taken the lock, and what it saves. */
function open(failed: { id: string; attempts: number }[] = []) {
  const lost = new AbortController();
  const cut = new AbortController();
  const saved: { value: unknown; budget: Budget }[] = [];
  const report = newReport();
  const state: State = { consecutiveSkips: 0, checkpoint: { failed, deadLettered: [] } };
  const taken = {
    session: { signal: lost.signal, budget: () => ({ attemptMs: 2000, totalMs: 16_000, signal: lost.signal }) },
    lock: {
      fencingToken: '7',
      async save([put]: { request_put: { value: Buffer } }[], budget: Budget) {
        saved.push({ value: JSON.parse(String(put?.request_put.value)), budget });
      },
    },
    state,
  } as never;
  const keeping = openKeeping({
    ...{ job, request: { kind: 'tick' }, runId: 'run-1', startedMs: 0, settings, places: placesOf(settings), taken },
    ...{ deadline: { cut: cut.signal } as never, report, log: recordedLog().log },
  });
  const saveOnce = async () => {
    const page = {
      ...{ read: 0, written: 0, unchanged: 0, invalid: 0, failed: 0, missing: 0 },
      ...{ newestMs: 0, oldestMs: 0, ordered: true, cursor: 'c', last: false },
    };
    for (let pages = 0; pages < 4; pages++) keeping.checkpoints.pageSettled(page);
    await keeping.checkpoints.saved();
    return saved.at(-1)!;
  };
  return { ...{ keeping, lost, cut, report, saveOnce } };
}

test('A save may take a full TTL, but ends with the lease, so that it does not outlive the lock.', async () => {
  const { lost, saveOnce } = open();
  const { budget } = await saveOnce();
  assert.deepEqual([budget.attemptMs, budget.totalMs, budget.signal?.aborted], [2000, 20_000, false]);
  const reason = new Error('the lease is lost');
  lost.abort(reason);
  assert.equal(budget.signal?.reason, reason);
});

test('A save ends at the cut as well, so that the unlock gets what is left of the time.', async () => {
  const { keeping, cut, saveOnce } = open();
  const { budget } = await saveOnce();
  const reason = new Error('half the reserve is used up');
  cut.abort(reason);
  assert.deepEqual([budget.signal?.reason, keeping.saving().signal?.reason], [reason, reason]);
});

test('A failed write is saved as an attempt only once the target has taken a record in this run.', async () => {
  const { keeping, report, saveOnce } = open([{ id: 'a', attempts: 3 }]);
  keeping.outcomes.failed('a', 'no answer', record('a'), false);
  keeping.outcomes.failed('b', 'no answer', record('b'), false);
  const failed = async () => ((await saveOnce()).value as { failed: unknown }).failed;
  assert.deepEqual(await failed(), [
    { id: 'a', attempts: 3 },
    { id: 'b', attempts: 0 },
  ]);
  report.written = 1;
  assert.deepEqual(await failed(), [
    { id: 'a', attempts: 4 },
    { id: 'b', attempts: 1 },
  ]);
});
