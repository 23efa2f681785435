import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { leaderOf } from '../support/leader.ts';
import { type Stage, startStage } from './stage.ts';

/** Longer than a busy machine takes from a kill to the next tick's look at the lock. */
const TTL_SECONDS = 10;

/** etcd ends a lease up to a few seconds after its TTL; the bound is only against hanging. */
async function untilFree(stage: Stage, lockKey: string) {
  const giveUpAtMs = performance.now() + 60_000;
  while (!(await stage.isFree(lockKey))) {
    assert.ok(performance.now() < giveUpAtMs, `${lockKey} was never freed`);
    await sleep(100);
  }
}

test('A holder that is killed blocks the lock until its lease ends, and then the next tick does the work.', async () => {
  await using stage = await startStage({ records: 100, latencyMs: 50, ttlSeconds: TTL_SECONDS });
  const [holder, next] = await Promise.all([stage.startContender('/kill'), stage.startContender('/kill')]);
  const writing = stage.target.nextRequest();
  const killed = holder.tick();
  await writing;
  await holder.kill();
  assert.equal((await killed).label, 'killed');
  assert.equal((await next.tick()).label, 'locked');
  await untilFree(stage, '/kill');
  assert.equal((await next.tick()).label, 'completed');
  assert.equal(stage.target.models.size, 100);
  assert.equal(await stage.leases(), 0);
});

test('A holder that was stopped past its lease writes nothing more when it wakes up, and ends with a lost lock.', async () => {
  await using stage = await startStage({ records: 100, latencyMs: 50, ttlSeconds: TTL_SECONDS });
  const [holder, next] = await Promise.all([stage.startContender('/stop'), stage.startContender('/stop')]);
  const writing = stage.target.nextRequest();
  const stopped = holder.tick();
  await writing;
  holder.signal('SIGSTOP');
  await untilFree(stage, '/stop');
  const successor = await next.tick();
  assert.equal(successor.label, 'completed');
  const before = stage.target.writes.length;
  holder.signal('SIGCONT');
  assert.equal((await stopped).label, 'LockLostError');
  assert.equal(stage.target.writes.length, before);
  const tokens = stage.target.writes.map(({ token }) => Number(token));
  assert.deepEqual(
    tokens,
    tokens.toSorted((a, b) => a - b),
  );
  assert.equal(tokens.filter((token) => token === Number(successor.token)).length, 100);
});

test('A run survives the loss of the leader of three nodes, and leaves neither lock nor lease.', async () => {
  await using stage = await startStage({ records: 200, latencyMs: 50, ttlSeconds: 3 * TTL_SECONDS, nodes: 3 });
  const contender = await stage.startContender('/leader');
  const writing = stage.target.nextRequest();
  const outcome = contender.tick();
  await writing;
  await (await leaderOf(stage.etcd)).kill();
  assert.equal((await outcome).label, 'completed');
  assert.equal(stage.target.models.size, 200);
  assert.ok(await stage.isFree('/leader'));
  assert.equal(await stage.leases(), 0);
});

test('A run stops before its lease can have expired when two of three nodes are lost.', async () => {
  await using stage = await startStage({ records: 2000, latencyMs: 50, ttlSeconds: TTL_SECONDS, nodes: 3 });
  const contender = await stage.startContender('/quorum');
  const writing = stage.target.nextRequest();
  const outcome = contender.tick();
  await writing;
  // A leader alone keeps renewing leases for a while, so it is one of the two; from then on this lease is not renewed.
  const leader = await leaderOf(stage.etcd);
  const follower = stage.etcd.nodes.find((node) => node !== leader);
  await Promise.all([leader.kill(), follower?.kill()]);
  await sleep(TTL_SECONDS * 1000);
  const written = stage.target.writes.length;
  assert.ok(written > 0 && written < 2000);
  assert.equal((await outcome).label, 'LockLostError');
  await sleep(500);
  assert.equal(stage.target.writes.length, written);
});
