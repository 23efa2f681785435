import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { LockLostError } from '../../lib/errors.ts';
import type { Etcd } from '../../lib/lock/etcd.ts';
import { type Attempt, type Lock, lock, type Put, tryLock } from '../../lib/lock/mutex.ts';
import { both, keyValue } from '../../lib/lock/query.ts';
import {
  BUDGET,
  failureOf,
  hex,
  keysOf,
  leasesOf,
  loseAnswer,
  nothing,
  openClient,
  until,
} from '../support/locking.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

let server: LocalEtcd;
before(async () => {
  server = await startEtcd();
});
after(() => server[Symbol.asyncDispose]());

type Client = Pick<Awaited<ReturnType<typeof openClient>>, 'etcd' | 'session'>;

const newKey = () => `/mutex/${randomUUID()}/lock`;
const newClient = () => openClient(server.endpoints);
const put = (key: string, value: string): Put => ({
  request_put: { key: Buffer.from(key), value: Buffer.from(value) },
});
const valueAt = async (key: string) => (await server.etcdctl(['get', key, '--print-value-only'])).trim();

const take = ({ etcd, session }: Client, lockKey: string, value = '') =>
  tryLock(etcd, session, { lockKey, value, read: nothing });

const queue = ({ etcd, session }: Client, lockKey: string, waitMs = 30_000, signal = new AbortController().signal) =>
  lock(etcd, session, { lockKey, value: '', read: nothing, waitMs, signal });

function acquired(attempt: Attempt<unknown>): Lock {
  assert.ok('lock' in attempt, `the lock is held: ${JSON.stringify(attempt)}`);
  return attempt.lock;
}

function refused(attempt: Attempt<unknown>) {
  assert.ok('heldBy' in attempt, 'the lock was taken');
  return attempt.heldBy;
}

test('The key is that of Go: lock key, slash, lease in hex; the fencing token is its create revision.', async () => {
  await using us = await newClient();
  const lockKey = newKey();
  const { fencingToken } = acquired(await take(us, lockKey, 'a value'));
  const fields = await server.etcdctl(['get', lockKey, '--prefix', '--write-out=fields']);
  const field = (name: string) => new RegExp(`^"${name}" : "?([^"\n]*)`, 'm').exec(fields)?.[1];
  assert.equal(field('Key'), `${lockKey}/${hex(us.session.leaseId)}`);
  assert.equal(field('Value'), 'a value');
  assert.equal(field('Lease'), us.session.leaseId);
  assert.equal(field('CreateRevision'), fencingToken);
  assert.equal(field('Count'), '1');
});

test('A second contender learns who holds the lock, puts no key, and gets a higher token after the unlock.', async () => {
  await using both = await pair();
  const [first, second] = both;
  const lockKey = newKey();
  const told = { runId: 'r', kind: 'tick', startedAt: '2026-01-01T00:00:00.000Z', host: 'h', requestId: 'q' };
  const held = acquired(await take(first, lockKey, JSON.stringify({ ...told, job: 'models', runs: 1 })));
  const key = `${lockKey}/${hex(first.session.leaseId)}`;
  assert.deepEqual(refused(await take(second, lockKey)), {
    ...{ ...told, key, leaseId: hex(first.session.leaseId), createRevision: held.fencingToken },
  });
  assert.deepEqual(await keysOf(server, `${lockKey}/`), [key]);
  await held.unlock([put(`${lockKey}-record`, 'done')], BUDGET);
  assert.deepEqual(await keysOf(server, `${lockKey}/`), []);
  const next = acquired(await take(second, lockKey));
  assert.ok(BigInt(next.fencingToken) > BigInt(held.fencingToken));
});

test('Any key under the lock key holds the lock, with or without a lease, and the oldest is named.', async () => {
  await using us = await newClient();
  const lockKey = newKey();
  await server.etcdctl(['put', `${lockKey}/z-older`, '{"runId":7,"kind":"odd"']);
  await server.etcdctl(['put', `${lockKey}/a/newer`, '']);
  const heldBy = refused(await take(us, lockKey));
  assert.deepEqual({ ...heldBy, createRevision: '' }, { key: `${lockKey}/z-older`, leaseId: '0', createRevision: '' });
  await server.etcdctl(['del', `${lockKey}/z-older`]);
  assert.equal(refused(await take(us, lockKey)).key, `${lockKey}/a/newer`);
});

test('Keys beside the lock key do not hold the lock.', async () => {
  await using us = await newClient();
  const lockKey = newKey();
  for (const key of [lockKey, `${lockKey}0`, `${lockKey}.`, `${lockKey}-state/x`])
    await server.etcdctl(['put', key, 'x']);
  acquired(await take(us, lockKey));
});

test('Reads sent along are answered with the lock, and also when the lock is held.', async () => {
  await using both = await pair();
  const [first, second] = both;
  const lockKey = newKey();
  await server.etcdctl(['put', `${lockKey}-state`, 'saved']);
  const answered: number[] = [];
  const state = keyValue(Buffer.from(`${lockKey}-state`));
  const read: typeof state = {
    operations: state.operations,
    decode(answers) {
      answered.push(answers.length);
      return state.decode(answers);
    },
  };
  const attempt = await tryLock(first.etcd, first.session, { lockKey, value: '', read });
  acquired(attempt);
  assert.equal('found' in attempt && attempt.found?.value.toString(), 'saved');
  refused(await tryLock(second.etcd, second.session, { lockKey, value: '', read }));
  assert.deepEqual(answered, [1]);
});

test('State is saved only while the key is ours: not once it was deleted, nor over a successor.', async () => {
  await using both = await pair();
  const [first, second] = both;
  const lockKey = newKey();
  const record = `${lockKey}-record`;
  const held = acquired(await take(first, lockKey));
  await held.save([put(record, 'first')], BUDGET);
  assert.equal(await held.isOwner(BUDGET), true);
  await server.etcdctl(['del', `${lockKey}/${hex(first.session.leaseId)}`]);
  const next = acquired(await take(second, lockKey));
  assert.equal(await held.isOwner(BUDGET), false);
  await assert.rejects(held.save([put(record, 'late')], BUDGET), LockLostError);
  await assert.rejects(held.unlock([put(record, 'late')], BUDGET), LockLostError);
  assert.equal(await valueAt(record), 'first');
  assert.equal(await next.isOwner(BUDGET), true);
});

test('A key of ours that was deleted and put again is another one: the old token owns nothing.', async () => {
  await using us = await newClient();
  const lockKey = newKey();
  const held = acquired(await take(us, lockKey));
  await server.etcdctl(['del', `${lockKey}/${hex(us.session.leaseId)}`]);
  const again = acquired(await take(us, lockKey));
  assert.equal(await held.isOwner(BUDGET), false);
  assert.equal(await again.isOwner(BUDGET), true);
  await assert.rejects(held.save([put(`${lockKey}-record`, 'late')], BUDGET), LockLostError);
});

test('An unlock saves the final state with the delete, and doing it again changes nothing.', async () => {
  await using us = await newClient();
  const lockKey = newKey();
  const held = acquired(await take(us, lockKey));
  const last = [put(`${lockKey}-record`, 'run 1'), put(`${lockKey}-watermark`, 'w')] as [Put, Put];
  await held.unlock(last, BUDGET);
  await held.unlock(last, BUDGET);
  assert.equal(await valueAt(`${lockKey}-record`), 'run 1');
  assert.equal(await valueAt(`${lockKey}-watermark`), 'w');
  assert.deepEqual(await keysOf(server, `${lockKey}/`), []);
});

test('A save and an unlock answer what was asked along with them, as of their own transaction.', async () => {
  await using us = await newClient();
  const lockKey = newKey();
  const record = `${lockKey}-record`;
  const query = both(keyValue(Buffer.from(record)), keyValue(Buffer.from(`${lockKey}-none`)));
  const read = {
    ...query,
    decode: (...answers: Parameters<typeof query.decode>) =>
      query.decode(...answers).map((found) => found?.value.toString()),
  };
  const held = acquired(await take(us, lockKey));
  assert.deepEqual(await held.save([put(record, '1'), put(`${lockKey}-more`, 'm')], BUDGET, read), ['1', undefined]);
  const last = [put(record, '2'), put(`${lockKey}-more`, 'n')] as [Put, Put];
  assert.deepEqual(await held.unlock(last, BUDGET, read), ['2', undefined]);
  // Sent again, because its answer may have been lost.
  await server.etcdctl(['put', `${lockKey}-none`, 'late']);
  assert.deepEqual(await held.unlock(last, BUDGET, read), ['2', 'late']);
  await assert.rejects(held.save([put(record, '3')], BUDGET, read), LockLostError);
});

test('A lock whose answer is lost is taken nevertheless, with the token of the key that is there.', async () => {
  await using proxy = await startTcpProxy(server.endpoints[0]!);
  await using us = await openClient([proxy.url]);
  const lockKey = newKey();
  await us.etcd.txn('open the connection', { success: [] }, BUDGET);
  const isThere = async () => (await keysOf(server, `${lockKey}/`)).length > 0;
  const held = acquired(await loseAnswer(proxy, () => take(us, lockKey), isThere));
  assert.equal(await held.isOwner(BUDGET), true);
  await held.save([put(`${lockKey}-record`, 'saved')], BUDGET);
  assert.equal((await keysOf(server, `${lockKey}/`)).length, 1);
});

test('An unlock whose answer is lost has succeeded, and the retry finds that out.', async () => {
  await using proxy = await startTcpProxy(server.endpoints[0]!);
  await using us = await openClient([proxy.url]);
  const lockKey = newKey();
  const held = acquired(await take(us, lockKey));
  const isGone = async () => (await keysOf(server, `${lockKey}/`)).length === 0;
  await loseAnswer(proxy, () => held.unlock([put(`${lockKey}-record`, 'final')], BUDGET), isGone);
  assert.equal(await valueAt(`${lockKey}-record`), 'final');
});

test('A place in the queue whose answer is lost is kept, and not taken twice.', async () => {
  await using proxy = await startTcpProxy(server.endpoints[0]!);
  await using us = await openClient([proxy.url]);
  const lockKey = newKey();
  await us.etcd.txn('open the connection', { success: [] }, BUDGET);
  const isThere = async () => (await keysOf(server, `${lockKey}/`)).length > 0;
  const held = acquired(await loseAnswer(proxy, () => queue(us, lockKey), isThere));
  assert.equal(await held.isOwner(BUDGET), true);
  assert.equal((await keysOf(server, `${lockKey}/`)).length, 1);
});

test('Waiting clients get the lock in the order of their arrival, and a client that does not wait gets it after them.', async () => {
  await using holder = await newClient();
  await using stack = new AsyncDisposableStack();
  const lockKey = newKey();
  const held = acquired(await take(holder, lockKey));
  const order: number[] = [];
  const waiting: Promise<void>[] = [];
  for (const place of [1, 2, 3]) {
    const client = stack.use(await newClient());
    const turn = async () => {
      const mine = acquired(await queue(client, lockKey));
      order.push(place);
      refused(await take(holder, lockKey));
      await mine.unlock([put(`${lockKey}-record`, String(place))], BUDGET);
    };
    waiting.push(turn());
    await until(`number ${place} is in the queue`, async () => (await keysOf(server, `${lockKey}/`)).length > place);
  }
  await held.unlock([put(`${lockKey}-record`, '0')], BUDGET);
  await Promise.all(waiting);
  assert.deepEqual(order, [1, 2, 3]);
  acquired(await take(holder, lockKey));
});

test('A wait that times out or is aborted ends with the holder and leaves no key behind.', async () => {
  await using both = await pair();
  const [holder, waiter] = both;
  const lockKey = newKey();
  const { fencingToken } = acquired(await take(holder, lockKey));
  assert.equal(refused(await queue(waiter, lockKey, 100)).createRevision, fencingToken);
  assert.equal((await keysOf(server, `${lockKey}/`)).length, 1);
  const stop = new AbortController();
  const calledOff = queue(waiter, lockKey, 30_000, stop.signal);
  await until('the second wait is in the queue', async () => (await keysOf(server, `${lockKey}/`)).length === 2);
  stop.abort();
  assert.equal(refused(await calledOff).createRevision, fencingToken);
  assert.equal((await keysOf(server, `${lockKey}/`)).length, 1);
});

/** Fails when a client that waits asks more often than twice a second for half a minute. */
function impatient({ etcd, session }: Client) {
  let asked = 0;
  const counted: Etcd = {
    ...etcd,
    async txn(...call) {
      assert.ok(++asked <= 60, 'the wait goes on although it was called off');
      return await etcd.txn(...call);
    },
  };
  return { etcd: counted, session };
}

test('A wait that is called off ends at once, whether that is before it, in it, or an hour before its time is up.', async () => {
  await using both = await pair();
  const [holder, waiter] = both;
  const lockKey = newKey();
  const { fencingToken } = acquired(await take(holder, lockKey));
  const wait = (signal: AbortSignal) => {
    const { etcd, session } = impatient(waiter);
    return lock(etcd, session, { lockKey, value: '', read: nothing, waitMs: 3_600_000, signal });
  };
  assert.equal(refused(await wait(AbortSignal.abort())).createRevision, fencingToken);
  assert.equal((await keysOf(server, `${lockKey}/`)).length, 1);
  const stop = new AbortController();
  const calledOff = wait(stop.signal);
  await until('it is in the queue', async () => (await keysOf(server, `${lockKey}/`)).length === 2);
  stop.abort();
  assert.equal(refused(await calledOff).createRevision, fencingToken);
  assert.equal((await keysOf(server, `${lockKey}/`)).length, 1);
});

test('A revoked lease is a lost lock, for a waiting client and for one that takes a lock with it.', async () => {
  await using both = await pair();
  const [holder, waiter] = both;
  const lockKey = newKey();
  acquired(await take(holder, lockKey));
  const waiting = failureOf(queue(waiter, lockKey));
  await until('it is in the queue', async () => (await keysOf(server, `${lockKey}/`)).length === 2);
  await server.etcdctl(['lease', 'revoke', hex(waiter.session.leaseId)]);
  assert.ok((await waiting) instanceof LockLostError);
  assert.ok((await failureOf(take(waiter, newKey()))) instanceof LockLostError);
  assert.ok((await failureOf(queue(waiter, newKey()))) instanceof LockLostError);
});

test('No lease is left behind, whether the lock was taken, found held or waited for.', async () => {
  assert.deepEqual(await leasesOf(server), []);
  const lockKey = newKey();
  {
    await using holder = await newClient();
    acquired(await take(holder, lockKey));
    {
      await using both = await pair();
      const [loser, waiter] = both;
      refused(await take(loser, lockKey));
      refused(await queue(waiter, lockKey, 0));
    }
    assert.deepEqual(await leasesOf(server), [hex(holder.session.leaseId)]);
  }
  assert.deepEqual(await leasesOf(server), []);
  assert.deepEqual(await keysOf(server, `${lockKey}/`), []);
});

/** Two clients as one resource. */
async function pair() {
  await using stack = new AsyncDisposableStack();
  const clients = [stack.use(await newClient()), stack.use(await newClient())] as const;
  const owned = stack.move();
  return Object.assign([...clients] as [Client, Client], { [Symbol.asyncDispose]: () => owned.disposeAsync() });
}
