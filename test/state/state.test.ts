import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { connectEtcd, type Etcd } from '../../lib/lock/etcd.ts';
import { ask } from '../../lib/lock/query.ts';
import { readSettings, type Settings } from '../../lib/settings/config.ts';
import { putBackfill } from '../../lib/state/backfills.ts';
import { countSkip } from '../../lib/state/count-skip.ts';
import { placesOf } from '../../lib/state/places.ts';
import type { RunRecord } from '../../lib/state/schemas.ts';
import { currentState, deleteState, putState, type State } from '../../lib/state/state.ts';
import { wantedSince } from '../../lib/state/wanted.ts';

const budget = { attemptMs: 5000, totalMs: 10_000 };
const at = '2026-11-24T12:00:00.000Z';
const report = {
  ...{ read: 6, written: 1, unchanged: 0, removed: 0, invalid: 2, failed: 3, missing: 4 },
  ...{ unsettled: 0, pages: 5, peakInFlight: 6, durationMs: 7 },
};
const last: RunRecord = {
  ...{ runId: 'run-1', kind: 'tick', status: 'completed', startedAt: at, endedAt: at, fencingToken: '5', report },
};
const pass = { runId: 'run-1', startedAt: at, full: true, fingerprint: 'f', cursor: 'next', counts: report };

let local: LocalEtcd;
let etcd: Etcd;
before(async () => {
  local = await startEtcd();
  etcd = connectEtcd(local.endpoints);
});
after(async () => {
  await etcd[Symbol.asyncDispose]();
  await local[Symbol.asyncDispose]();
});

/** The settings of a job with a state of its own. */
function newJob(): Settings {
  const prefix = `/state/${randomUUID()}`;
  return readSettings(
    {
      ...{ STAGE: 'test', SECRET_ID: 'test', SOURCE_URL: 'http://source', TARGET_URL: 'http://target' },
      ...{ TARGET_REGION_ID: 'eu', ETCD_ENDPOINTS: 'http://etcd:2379' },
      ...{ LOCK_KEY: `${prefix}/lock`, STATE_PREFIX: `${prefix}/state/` },
    },
    { name: 'models' },
  );
}

async function load(settings: Settings, backfillId?: string) {
  return ask(etcd, 'read', currentState(placesOf(settings), { backfillId }), budget);
}

test('A job without a state has none, and no skips.', async () => {
  assert.deepEqual(await load(newJob()), { consecutiveSkips: 0 });
});

test('Every part of the state is read as it was put, and a deleted part is gone.', async () => {
  const job = newJob();
  const prefix = job.statePrefix;
  const run = { last, completedScheduledTime: at, completedStartedAt: at };
  const failed = [{ id: 'a/b', attempts: 2 }];
  const checkpoint = { pass, failed, deadLettered: ['0123456789abcdef'] };
  const backfill: State['backfill'] = {
    last: { ...last, status: 'failed', error: { name: 'SourceError', code: 'SOURCE', message: 'm' } },
  } as const;
  const watermark = { at, fullAt: at };
  const removals = { withheld: 12, of: 100, at, approvedUpTo: 12 };
  const pause = { since: at, note: 'why' };
  const success = [
    putState(prefix, 'run', run),
    putState(prefix, 'checkpoint', checkpoint),
    putState(prefix, 'backfill', backfill),
    putState(prefix, 'watermark', watermark),
    putState(prefix, 'removals', removals),
    putState(prefix, 'pause', pause),
    putBackfill(prefix, 'backfill-1', { pass, failed }),
  ];
  await etcd.txn('put', { success }, budget);
  const state = { run, checkpoint, backfill, watermark, removals, pause, consecutiveSkips: 0 };
  assert.deepEqual(await load(job), state);
  assert.deepEqual(await load(job, 'backfill-1'), { ...state, backfillProgress: { pass, failed } });
  assert.deepEqual(await load(job, 'backfill-2'), state);

  await etcd.txn('delete', { success: [deleteState(prefix, 'pause')] }, budget);
  const { pause: _, ...rest } = state;
  assert.deepEqual(await load(job), rest);
});

test('The version of the key counts skips in a row, and a deleted key starts again.', async () => {
  const job = newJob();
  const note = () => countSkip(etcd, job, { runId: 'run-1', at }, undefined, budget);
  assert.deepEqual([await note(), await note(), await note()], [1, 2, 3]);
  assert.equal((await load(job)).consecutiveSkips, 3);
  await etcd.txn('delete', { success: [deleteState(job.statePrefix, 'skips')] }, budget);
  assert.equal((await load(job)).consecutiveSkips, 0);
  assert.equal(await note(), 1);
});

test('A tick that finds the lock held is noted as the one that is wanted, and is new to a holder that was there by then.', async () => {
  const job = newJob();
  const places = placesOf(job);
  const holder = Buffer.from(`${job.lockKey}/1f`);
  const taken = () => etcd.txn('take', { success: [{ request_put: { key: holder, value: Buffer.from('') } }] }, budget);
  const wantedOf = async (token: string) => (await ask(etcd, 'read', wantedSince(places, token), budget)) ?? 'none';
  const createRevision = (await taken()).header.revision;
  assert.equal(await wantedOf(createRevision), 'none');

  const heldBy = { key: `${job.lockKey}/1f`, createRevision };
  assert.equal(await countSkip(etcd, job, { runId: 'run-1', at, scheduledTime: at }, heldBy, budget), 1);
  assert.equal(await countSkip(etcd, job, { runId: 'run-2', at }, heldBy, budget), 2);
  assert.partialDeepStrictEqual(await wantedOf(createRevision), { runId: 'run-2', at, count: 2 });

  // A holder that is gone, also where another has put the same key since, is no reason for a skip.
  await etcd.txn('unlock', { success: [{ request_delete_range: { key: holder } }] }, budget);
  assert.equal(await countSkip(etcd, job, { runId: 'run-3', at }, heldBy, budget), undefined);
  const next = (await taken()).header.revision;
  assert.equal(await countSkip(etcd, job, { runId: 'run-3', at }, heldBy, budget), undefined);
  assert.equal((await load(job)).consecutiveSkips, 2);
  assert.equal(await wantedOf(next), 'none');

  // The count in a row begins again, that of all skips goes on.
  await etcd.txn('delete', { success: [deleteState(job.statePrefix, 'skips')] }, budget);
  assert.equal(
    await countSkip(etcd, job, { runId: 'run-4', at, scheduledTime: at }, { ...heldBy, createRevision: next }, budget),
    1,
  );
  assert.partialDeepStrictEqual(await wantedOf(next), { runId: 'run-4', scheduledTime: at, count: 3 });
});

test('A report that a version without counts of unchanged and removed records has saved has none of them.', async () => {
  const job = newJob();
  const { unchanged: _, removed: __, ...older } = report;
  const value = JSON.stringify({ last: { ...last, report: older } });
  await local.etcdctl(['put', `${job.statePrefix}run`, value]);
  assert.deepEqual((await load(job)).run?.last.report, report);
});

for (const [what, name, value, fault] of [
  ['text that is not JSON', 'run', '{"last":', /does not hold JSON/],
  ['JSON of another shape', 'run', '{"last":{"runId":7}}', /holds no valid state \(last\.runId: /],
  [
    'a time without a zone',
    'watermark',
    '{"at":"2026-11-24T12:00:00"}',
    /holds no valid state \(at: must be an ISO 8601/,
  ],
  ['a time of a year with six digits', 'watermark', '{"at":"+002026-11-24T12:00:00Z"}', /valid state \(at: must be an/],
  ['a list', 'pause', '[]', /holds no valid state \(since: /],
] as const) {
  test(`A key that holds ${what} is an error that names the key and what to do.`, async () => {
    const job = newJob();
    const key = job.statePrefix + name;
    await local.etcdctl(['put', key, value]);
    await assert.rejects(load(job), (error: Error & { code?: string }) => {
      assert.deepEqual([error.name, error.code], ['StateError', 'STATE']);
      assert.match(error.message, fault);
      assert.ok(error.message.startsWith(`etcd key ${key} `));
      assert.match(error.message, /delete the key to start afresh$/);
      return true;
    });
  });
}
