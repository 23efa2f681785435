import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { leftBehind, lockByHand, lockKeys, NOTHING } from '../support/lock.ts';
import { stored, untilWriting } from '../support/running.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const worldOf = (count: number, latencyMs = 0) =>
  startWorld({
    endpoints: etcd.endpoints,
    records: Array.from({ length: count }, (_, index) => model(index)),
    latencyMs,
  });

test('The status of a job that never ran is empty.', async () => {
  await using world = await worldOf(1);
  assert.deepEqual(await world.control({ action: 'status' }), {
    ...{ job: 'models', stage: 'test', lockKey: world.env.LOCK_KEY },
    ...{ paused: false, consecutiveSkips: 0, failed: [], history: [], backfills: [] },
  });
});

test('The status reports who holds the lock, since when, and how long its lease has left.', async () => {
  await using world = await worldOf(500, 500);
  const before = new Date().toISOString();
  const tick = world.tick();
  await untilWriting(world, tick);
  const { heldBy, advice, lastRun } = await world.control({ action: 'status' });
  world.target.latencyMs = 0;
  const { runId, fencingToken } = await tick;
  assert.partialDeepStrictEqual(heldBy, { runId, kind: 'tick', host: hostname(), createRevision: fencingToken });
  assert.ok(heldBy?.startedAt && heldBy.startedAt >= before && heldBy.startedAt <= new Date().toISOString());
  assert.ok(heldBy.leaseRemainingSeconds! > 0 && heldBy.leaseRemainingSeconds! <= 30);
  assert.deepEqual([advice, lastRun], [undefined, undefined]);
  assert.equal((await world.control({ action: 'status' })).lastRun?.runId, runId);
});

test('The status names a holder that is another program by its key.', async () => {
  await using world = await worldOf(1);
  await using terminal = lockByHand(etcd, world.env.LOCK_KEY!);
  const key = await terminal.acquired;
  const { heldBy } = await world.control({ action: 'status' });
  assert.deepEqual([heldBy?.key, heldBy?.runId], [key, undefined]);
  assert.ok((heldBy?.leaseRemainingSeconds ?? 0) > 0);
});

test('For a key without a lease, which never expires, the status gives the command that deletes it.', async () => {
  await using world = await worldOf(1);
  const key = `${world.env.LOCK_KEY}/by hand`;
  await etcd.etcdctl(['put', key, 'what is this']);
  assert.equal((await world.tick()).reason, 'locked');
  const { heldBy, advice } = await world.control({ action: 'status' });
  assert.deepEqual([heldBy?.key, heldBy?.leaseId, heldBy?.leaseRemainingSeconds], [key, '0', undefined]);
  assert.match(advice ?? '', new RegExp(`etcdctl del '${key}'$`));
  await etcd.etcdctl(['del', key]);
  assert.equal((await world.tick()).status, 'completed');
});

test('Pausing and resuming report their effect, and both are idempotent.', async () => {
  await using world = await worldOf(1);
  const since = new Set<string>();
  for (const note of ['first', 'second', 'second']) {
    const { paused, pause } = await world.control({ action: 'pause', note });
    assert.deepEqual([paused, pause?.note], [true, note]);
    assert.ok(pause!.since <= new Date().toISOString());
    since.add(pause!.since);
    await sleep(2);
  }
  assert.equal(since.size, 1);
  const plain = await world.control({ action: 'pause' });
  assert.deepEqual(Object.keys(plain.pause ?? {}), ['since']);
  for (let times = 0; times < 2; times++) {
    const { paused, pause } = await world.control({ action: 'resume' });
    assert.deepEqual([paused, pause], [false, undefined]);
  }
});

test('A pause does not need the lock: it works while a run holds it, and that run continues to its end.', async () => {
  await using world = await worldOf(1);
  await using terminal = lockByHand(etcd, world.env.LOCK_KEY!);
  await terminal.acquired;
  assert.equal((await world.control({ action: 'pause' })).paused, true);
  assert.equal((await world.tick()).reason, 'paused');
  assert.equal((await lockKeys(etcd, world.env.LOCK_KEY!)).length, 1);
});

for (const what of ['checkpoint', 'failed', 'watermark'] as const) {
  test(`A reset of the ${what} changes nothing while somebody else holds the lock, and names the holder.`, async () => {
    await using world = await worldOf(3);
    world.target.refuse = (body) => (Object(body).name === 'Model 1' ? 422 : undefined);
    await world.tick();
    const before = await stored(etcd, world.prefix);
    assert.ok(before.length >= 3);
    {
      await using terminal = lockByHand(etcd, world.env.LOCK_KEY!);
      const key = await terminal.acquired;
      const { skipped, heldBy, failed, watermark } = await world.control({ action: 'reset', what });
      assert.deepEqual([skipped?.reason, skipped?.heldBy?.key, heldBy?.key], ['locked', key, key]);
      assert.match(skipped?.message ?? '', new RegExp(`held by another program: key ${key}, lease`));
      assert.deepEqual([failed.length, typeof watermark?.at], [1, 'string']);
      assert.deepEqual(await stored(etcd, world.prefix), before);
      assert.deepEqual(await lockKeys(etcd, world.env.LOCK_KEY!), [key]);
    }
    assert.deepEqual(await leftBehind(etcd, world.env.LOCK_KEY!), NOTHING);
  });
}

test('A reset takes the lock like a run, and leaves neither lock nor lease.', async () => {
  await using world = await worldOf(3);
  await world.tick();
  const { watermark, heldBy, skipped } = await world.control({ action: 'reset', what: 'watermark' });
  assert.deepEqual([watermark, heldBy, skipped], [undefined, undefined, undefined]);
  assert.deepEqual(await leftBehind(etcd, world.env.LOCK_KEY!), NOTHING);
});
