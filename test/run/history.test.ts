import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { lockByHand } from '../support/lock.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const open = (env: Record<string, string> = {}) =>
  startWorld({ endpoints: etcd.endpoints, records: Array.from({ length: 9 }, (_, index) => model(index)), env });
const status = async (world: Awaited<ReturnType<typeof open>>) => await world.control({ action: 'status' });

test('The status has the last runs, newest first, with how they ended and how many ticks were skipped before them.', async () => {
  await using world = await open();
  const scheduledTime = '2026-01-24T12:15:00.000Z';
  const first = await world.tick({ scheduledTime });
  // A run that does nothing is not in it.
  assert.equal((await world.tick({ scheduledTime })).reason, 'duplicate');
  const terminal = lockByHand(etcd, world.env.LOCK_KEY!);
  await terminal.acquired;
  for (let skips = 0; skips < 3; skips++) assert.equal((await world.tick()).reason, 'locked');
  await terminal[Symbol.asyncDispose]();
  const backfill = await world.backfill({ since: '2026-01-01T00:00:00Z', startedBy: 'somebody' });
  world.source.refuse = () => 400;
  await assert.rejects(world.tick(), { name: 'SourceError' });

  const { history, lastRun, lastBackfill, shards } = await status(world);
  assert.equal(shards, undefined);
  const [failed, byHand, tick, ...older] = history;
  assert.deepEqual(older, []);
  const { error, ...ended } = lastRun!;
  assert.partialDeepStrictEqual(failed, { ...ended, status: 'failed', reason: 'SourceError' });
  assert.equal(failed?.error?.code, error?.code);
  assert.partialDeepStrictEqual(byHand, {
    ...lastBackfill,
    ...{ kind: 'backfill', status: 'completed', backfillId: backfill.runId, startedBy: 'somebody', skipsBefore: 3 },
  });
  assert.partialDeepStrictEqual(tick, {
    ...{ kind: 'tick', status: 'completed', runId: first.runId, fencingToken: first.fencingToken, scheduledTime },
    report: first.report,
  });
  assert.deepEqual([failed?.skipsBefore, tick?.skipsBefore], [undefined, undefined]);
});

test('In shards the history is one for all of them, and each run names its shard.', async () => {
  await using world = await open({ SHARDS: '2' });
  for (const index of [0, 1, 0]) await world.tick({ shard: { index, of: 2 } });
  const { history, shards } = await status(world);
  assert.deepEqual(
    history.map(({ shard }) => shard),
    [0, 1, 0].map((index) => ({ index, of: 2 })),
  );
  assert.deepEqual(
    shards?.map(({ history }) => history),
    [[], []],
  );
});

test('The history of a state that an earlier version has left begins with the next run.', async () => {
  await using world = await open();
  await world.tick();
  await etcd.etcdctl(['del', `${world.env.STATE_PREFIX}history`]);
  assert.deepEqual((await status(world)).history, []);
  const { runId } = await world.tick();
  assert.deepEqual(
    (await status(world)).history.map((run) => run.runId),
    [runId],
  );
});

test('A history and a tick that is wanted, whose values cannot be understood, are no reason for a run not to do its work.', async () => {
  await using world = await open();
  await world.tick();
  for (const [name, value] of [
    ['history', '{"runs":[{"kind":"another"}]}'],
    ['wanted', 'a tick'],
  ] as const)
    await etcd.etcdctl(['put', `${world.env.STATE_PREFIX}${name}`, value]);
  assert.deepEqual((await status(world)).history, []);
  assert.equal((await world.tick()).status, 'completed');
  assert.equal((await world.backfill({ since: '2026-01-01T00:00:00Z' })).status, 'completed');
  assert.deepEqual(
    (await status(world)).history.map(({ kind, status }) => [kind, status]),
    [
      ['backfill', 'completed'],
      ['tick', 'completed'],
    ],
  );
});
