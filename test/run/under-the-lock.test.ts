import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { parseTick } from '../../lib/event.ts';
import { run } from '../../lib/run/run.ts';
import { job } from '../support/job.ts';
import { leftBehind, lockByHand, NOTHING, untilKeys } from '../support/lock.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { model, startWorld } from '../support/world.ts';

// Between the look, which saves work, and the lock, which is right, anything can happen.

let etcd: LocalEtcd;
let lockKey = '';
before(async () => {
  etcd = await startEtcd();
});
// A run that is skipped under the lock leaves neither its key nor its lease.
afterEach(async () => assert.deepEqual(await leftBehind(etcd, lockKey), NOTHING));
after(() => etcd[Symbol.asyncDispose]());

const scheduledTime = '2026-01-24T12:15:00.000Z';

/** Runs a tick that looks, then waits until `meanwhile` is over, and then takes the lock. */
async function tickAfter(meanwhile: (world: Awaited<ReturnType<typeof startWorld>>) => Promise<unknown>) {
  await using proxy = await startTcpProxy(etcd.endpoints[0]!);
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [model(1)] });
  lockKey = world.env.LOCK_KEY!;
  const looked = Promise.withResolvers<void>();
  const invocation = world.invocation(60_000, new AbortController().signal);
  const { lockTtlSeconds } = invocation.settings;
  const settings = Object.defineProperty({ ...invocation.settings, etcdEndpoints: [proxy.url] }, 'lockTtlSeconds', {
    // Asked for when the run is about to open its session: from here on its calls are held back.
    get() {
      proxy.mode = 'black-hole';
      looked.resolve();
      return lockTtlSeconds;
    },
  });
  const running = run(job, parseTick({ scheduledTime }), { ...invocation, settings });
  await Promise.race([looked.promise, running]);
  await meanwhile(world);
  const writes = world.target.writes.length;
  Object.defineProperty(settings, 'lockTtlSeconds', { value: lockTtlSeconds });
  proxy.mode = 'pass';
  const { status, reason } = await running;
  return { status, reason, writes: world.target.writes.length - writes };
}

test('A tick that nothing happened to meanwhile runs.', async () => {
  assert.deepEqual(await tickAfter(async () => {}), { status: 'completed', reason: undefined, writes: 1 });
});

test('A tick whose second delivery is done between its look and its lock is a duplicate, and writes nothing.', async () => {
  const again = async (world: Parameters<Parameters<typeof tickAfter>[0]>[0]) =>
    assert.equal((await world.tick({ scheduledTime })).status, 'completed');
  assert.deepEqual(await tickAfter(again), { status: 'skipped', reason: 'duplicate', writes: 0 });
});

test('A job that is paused between the look and the lock of a tick is paused for that tick.', async () => {
  const outcome = await tickAfter((world) => world.control({ action: 'pause' }));
  assert.deepEqual(outcome, { status: 'skipped', reason: 'paused', writes: 0 });
});

test('A backfill that gets its turn while a run of another division works is skipped, and names that run.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [model(1)] });
  lockKey = world.env.LOCK_KEY!;
  const terminal = lockByHand(etcd, lockKey);
  await terminal.acquired;
  const backfill = world.backfill({ waitSeconds: 600 });
  await untilKeys(etcd, lockKey, 2);
  const key = `${lockKey}.shards/0-of-2/1f`;
  await etcd.etcdctl(['put', key, '']);
  await terminal[Symbol.asyncDispose]();
  const { status, reason, heldBy } = await backfill;
  assert.deepEqual([status, reason, heldBy?.key], ['skipped', 'resharding', key]);
  assert.equal(world.target.writes.length, 0);
});
