import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { lock, tryLock } from '../../lib/lock/mutex.ts';
import { lockByHand } from '../support/lock.ts';
import { BUDGET, hex, keysOf, leasesOf, nothing, openClient, until } from '../support/locking.ts';
import { startRacer } from '../support/race.ts';

let server: LocalEtcd;
before(async () => {
  server = await startEtcd();
});
after(() => server[Symbol.asyncDispose]());

type Client = Awaited<ReturnType<typeof openClient>>;

const take = ({ etcd, session }: Client, lockKey: string) =>
  tryLock(etcd, session, { lockKey, value: '', read: nothing });

async function queue({ etcd, session }: Client, lockKey: string) {
  const signal = new AbortController().signal;
  const attempt = await lock(etcd, session, { lockKey, value: '', read: nothing, waitMs: 60_000, signal });
  assert.ok('lock' in attempt, 'the wait was in vain');
  return attempt.lock;
}

const last = (lockKey: string) => ({ request_put: { key: Buffer.from(`${lockKey}-run`), value: Buffer.from('last') } });
const keys = (lockKey: string) => keysOf(server, `${lockKey}/`);

test('While etcdctl holds the lock we do not get it, and after its release we do.', async () => {
  await using us = await openClient(server.endpoints);
  {
    await using terminal = lockByHand(server, '/interop/theirs');
    const key = await terminal.acquired;
    const attempt = await take(us, '/interop/theirs');
    assert.ok('heldBy' in attempt, 'the lock was taken twice');
    // etcdctl puts an empty value, so this is all that is known of the holder.
    assert.deepEqual(Object.keys(attempt.heldBy).sort(), ['createRevision', 'key', 'leaseId']);
    assert.equal(attempt.heldBy.key, key);
    assert.equal(`/interop/theirs/${attempt.heldBy.leaseId}`, key);
  }
  assert.ok('lock' in (await take(us, '/interop/theirs')));
});

test('While we hold the lock etcdctl waits, and it gets the lock with our unlock.', async () => {
  await using us = await openClient(server.endpoints);
  const attempt = await take(us, '/interop/ours');
  assert.ok('lock' in attempt);
  await using terminal = lockByHand(server, '/interop/ours');
  let acquired = false;
  const key = terminal.acquired.then((key) => {
    acquired = true;
    return key;
  });
  await until('etcdctl is in the queue', async () => (await keys('/interop/ours')).length === 2);
  assert.equal(await attempt.lock.isOwner(BUDGET), true);
  assert.equal(acquired, false);
  await attempt.lock.unlock([last('/interop/ours')], BUDGET);
  assert.deepEqual(await keys('/interop/ours'), [await key]);
});

test('etcdctl and we queue together, and get the lock in the order of arrival.', async () => {
  await using holder = await openClient(server.endpoints);
  await using early = await openClient(server.endpoints);
  await using late = await openClient(server.endpoints);
  const lockKey = '/interop/queue';
  const held = await take(holder, lockKey);
  assert.ok('lock' in held);
  const order: string[] = [];
  const ours = async (name: string, client: Client) => {
    const mine = await queue(client, lockKey);
    order.push(name);
    await mine.unlock([last(lockKey)], BUDGET);
  };
  const theirs = async (name: string) => {
    await using terminal = lockByHand(server, lockKey);
    await terminal.acquired;
    order.push(name);
  };
  const joins = [
    () => theirs('etcdctl 1'),
    () => ours('ours 2', early),
    () => theirs('etcdctl 3'),
    () => ours('ours 4', late),
  ];
  const waiting: Promise<void>[] = [];
  for (const join of joins) {
    waiting.push(join());
    const arrived = waiting.length + 1;
    await until(`number ${arrived} is in the queue`, async () => (await keys(lockKey)).length === arrived);
  }
  await held.lock.unlock([last(lockKey)], BUDGET);
  await Promise.all(waiting);
  assert.deepEqual(order, ['etcdctl 1', 'ours 2', 'etcdctl 3', 'ours 4']);
});

test('An etcdctl that is killed while it holds the lock, or waits in the queue, blocks it until its lease ends.', async () => {
  await using us = await openClient(server.endpoints);
  const lockKey = '/interop/theirs-killed';
  const args = ['lock', '--ttl=10', lockKey];
  const [holder, waiter] = [server.spawnEtcdctl(args), server.spawnEtcdctl(args)];
  try {
    await until('one holds and one waits', async () => (await keys(lockKey)).length === 2);
    const ended = [once(holder, 'exit'), once(waiter, 'exit')];
    for (const etcdctl of [holder, waiter]) etcdctl.kill('SIGKILL');
    await Promise.all(ended);
    assert.ok('heldBy' in (await take(us, lockKey)));
    const mine = await queue(us, lockKey);
    assert.equal(await mine.isOwner(BUDGET), true);
    assert.deepEqual(await leasesOf(server), [hex(us.session.leaseId)]);
  } finally {
    for (const etcdctl of [holder, waiter]) etcdctl.kill('SIGKILL');
  }
});

test('A holder of ours that is killed blocks etcdctl until its lease ends, and not for longer.', async () => {
  await using racer = await startRacer(server.endpoints, { clients: 1, ttlSeconds: 10 });
  const lockKey = '/interop/ours-killed';
  assert.equal((await racer.race(lockKey)).filter(({ won }) => won).length, 1);
  await using terminal = lockByHand(server, lockKey);
  await until('etcdctl is in the queue', async () => (await keys(lockKey)).length === 2);
  await racer.kill();
  const key = await terminal.acquired;
  assert.deepEqual(await keys(lockKey), [key]);
});
