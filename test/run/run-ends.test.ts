import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { leftBehind, lockByHand, lockKeys, NOTHING } from '../support/lock.ts';
import { stored, untilWriting } from '../support/running.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
let lockKey = '';
before(async () => {
  etcd = await startEtcd();
});
// Neither key nor lease outlives a run, however it ended.
afterEach(async () => assert.deepEqual(await leftBehind(etcd, lockKey), NOTHING));
after(() => etcd[Symbol.asyncDispose]());

const models = (count: number) => Array.from({ length: count }, (_, index) => model(index));

async function worldOf(count: number, options: { latencyMs?: number; env?: Record<string, string> } = {}) {
  const world = await startWorld({ endpoints: etcd.endpoints, records: models(count), ...options });
  lockKey = world.env.LOCK_KEY!;
  return world;
}

test('When the target’s token is rotated in the middle of a run, the run continues with the new one and no record fails.', async () => {
  await using world = await worldOf(600, { latencyMs: 20 });
  const tick = world.tick();
  await untilWriting(world, tick);
  world.secrets.put('world', { source: world.source.credentials, target: { token: 'rotated' } });
  world.target.token = 'rotated';
  const { status, report } = await tick;
  assert.deepEqual([status, report.written, report.failed], ['completed', 600, 0]);
  assert.ok(world.target.refusals.includes(401));
  assert.equal(world.secrets.reads, 2);
});

test('When the source’s password is rotated in the middle of a run, the run asks again with the new one and completes.', async () => {
  await using world = await worldOf(1600, { latencyMs: 10 });
  const tick = world.tick();
  await untilWriting(world, tick);
  const credentials = { username: 'reader', password: 'rotated' };
  world.secrets.put('world', { source: credentials, target: { token: world.target.token } });
  world.source.credentials = credentials;
  const { status, report } = await tick;
  assert.deepEqual([status, report.written, report.failed], ['completed', 1600, 0]);
  // Four pages, and one of them twice.
  assert.equal(world.source.requests.length, 5);
  assert.equal(world.secrets.reads, 2);
});

test('A target that refuses the newest token ends the run before anything was written.', async () => {
  await using world = await worldOf(600);
  world.target.token = 'another';
  await assert.rejects(world.tick(), { name: 'CredentialsError', message: /target answered 401.*no newer version/ });
  assert.equal(world.target.writes.length, 0);
  assert.equal(world.secrets.reads, 2);
});

test('A run that receives a stop finishes what is in flight, saves, unlocks and is partial.', async () => {
  const env = { CONCURRENCY: '10', DEADLINE_RESERVE_SECONDS: '20' };
  await using world = await worldOf(600, { latencyMs: 300, env });
  const stop = new AbortController();
  const tick = world.tick({}, 60_000, stop.signal);
  await untilWriting(world, tick);
  stop.abort();
  const { status, reason, report } = await tick;
  assert.deepEqual([status, reason], ['partial', 'deadline']);
  assert.equal(report.read, 600 - 100);
  assert.equal(report.read, report.written + report.unsettled);
  assert.ok(report.written > 0 && report.written <= 10);
  assert.equal(world.target.writes.length, report.written);
  assert.equal((await world.control({ action: 'status' })).lastRun?.status, 'partial');
});

test('A run whose last writes outlast the deadline counts them as unsettled, and writes no more.', async () => {
  await using world = await worldOf(1500, { env: { CONCURRENCY: '10', DEADLINE_RESERVE_SECONDS: '4' } });
  const stop = new AbortController();
  world.target.refuse = () => {
    if (world.target.writes.length >= 600 && world.target.latencyMs === 0) {
      world.target.latencyMs = 10_000;
      // The last writes are in flight by then, and half the reserve of 4 s is over before they end.
      setTimeout(() => stop.abort(), 100);
    }
    return undefined;
  };
  const { status, reason, report } = await world.tick({}, 60_000, stop.signal);
  assert.deepEqual([status, reason], ['partial', 'deadline']);
  assert.ok(report.unsettled >= 10);
  assert.equal(report.read, report.written + report.unsettled);
  assert.equal(world.target.writes.length, report.written);
});

/** A write by a holder of a later token of the same scope. */
async function writeWithToken(url: string, token: string) {
  const response = await fetch(`${url}/v1/regions/eu/models/from-elsewhere`, {
    method: 'PUT',
    headers: { authorization: 'Bearer writer-token', 'x-fencing-scope': lockKey, 'x-fencing-token': token },
    body: '{}',
  });
  assert.equal(response.status, 200);
}

test('A target that has seen a higher token although the lock is ours means that etcd went back.', async () => {
  await using world = await worldOf(100);
  await writeWithToken(world.target.url, '1000000000');
  await assert.rejects(world.tick(), { name: 'FenceAheadError', code: 'FENCE_AHEAD' });
  assert.equal(world.target.writes.length, 1);
  const { lastRun, heldBy } = await world.control({ action: 'status' });
  assert.deepEqual([lastRun?.status, lastRun?.error?.code, heldBy], ['failed', 'FENCE_AHEAD', undefined]);
});

test('A run whose lock was taken over is superseded and does not touch the state.', async () => {
  await using world = await worldOf(2000, { latencyMs: 500 });
  const tick = assert.rejects(world.tick(), { name: 'SupersededError', code: 'SUPERSEDED' });
  await untilWriting(world, tick);
  const before = await stored(etcd, world.prefix);
  const [key] = await lockKeys(etcd, lockKey);
  await etcd.etcdctl(['del', key!]);
  await using terminal = lockByHand(etcd, lockKey);
  await terminal.acquired;
  world.target.latencyMs = 0;
  await writeWithToken(world.target.url, '1000000000');
  const writes = world.target.writes.length;
  await tick;
  assert.equal(world.target.writes.length, writes);
  assert.deepEqual(await stored(etcd, world.prefix), before);
});

test('A run whose lease was revoked ends with a lost lock, writes no more and does not touch the state.', async () => {
  // The revocation is noticed at the next keep-alive, a third of the TTL later at most.
  const env = { CONCURRENCY: '10', LOCK_TTL_SECONDS: '5' };
  await using world = await worldOf(2000, { latencyMs: 100, env });
  const tick = assert.rejects(world.tick(), { name: 'LockLostError', code: 'LOCK_LOST' });
  await untilWriting(world, tick);
  const before = await stored(etcd, world.prefix);
  const [key] = await lockKeys(etcd, lockKey);
  await etcd.etcdctl(['lease', 'revoke', key!.slice(lockKey.length + 1)]);
  await tick;
  // The target finishes what it had received before the connections were closed.
  await sleep(200);
  const writes = world.target.writes.length;
  assert.ok(writes > 0 && writes < 2000);
  await sleep(300);
  assert.equal(world.target.writes.length, writes);
  assert.deepEqual(await stored(etcd, world.prefix), before);
});
