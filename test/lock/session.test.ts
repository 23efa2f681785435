import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { LockLostError, LockServiceError } from '../../lib/errors.ts';
import { connectEtcd, type Etcd } from '../../lib/lock/etcd.ts';
import { openSession, type Session } from '../../lib/lock/session.ts';
import { BUDGET, failureOf, hex, leasesOf, loseAnswer, openClient, steppedClock, until } from '../support/locking.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

let server: LocalEtcd;
before(async () => {
  server = await startEtcd();
});
after(() => server[Symbol.asyncDispose]());

const HOUR_MS = 3_600_000;

function assertLost(session: Session) {
  assert.throws(() => session.check(), LockLostError);
  assert.ok(session.signal.aborted);
  assert.ok(session.signal.reason instanceof LockLostError);
}

/** Resolves with the signal's reason. Keeps the process alive, which the session itself does not. */
async function lossOf(session: Session): Promise<unknown> {
  await until('the session is lost', () => session.signal.aborted);
  return session.signal.reason;
}

test('Disposal of a session revokes its lease, and a second disposal does nothing.', async () => {
  const { etcd, session, [Symbol.asyncDispose]: dispose } = await openClient(server.endpoints);
  assert.deepEqual(await leasesOf(server), [hex(session.leaseId)]);
  session.check();
  await session[Symbol.asyncDispose]();
  assert.deepEqual(await leasesOf(server), []);
  await session[Symbol.asyncDispose]();
  assert.equal(session.signal.aborted, false);
  assert.ok((await etcd.timeToLive(session.leaseId, BUDGET)) < 0);
  await dispose();
});

test('The revoke takes at most a second, and no more than the time that is left.', async () => {
  await using real = connectEtcd(server.endpoints);
  const budgets: number[] = [];
  const etcd: Etcd = {
    ...real,
    revoke(id, budget) {
      budgets.push(budget.totalMs);
      return real.revoke(id, { ...BUDGET });
    },
  };
  for (const leftMs of [60_000, 1000, 300, -5]) {
    await using _ = await openSession(etcd, { ttlSeconds: 60, acquire: BUDGET, toRevokeMs: () => leftMs });
  }
  await using _ = await openSession(etcd, { ttlSeconds: 60, acquire: BUDGET });
  await _[Symbol.asyncDispose]();
  assert.deepEqual(budgets, [1000, 1000, 300, 0, 1000]);
  assert.deepEqual(await leasesOf(server), []);
});

test('A session outlives its TTL by being kept alive.', async () => {
  await using us = await openClient(server.endpoints, { ttlSeconds: 6, clock: steppedClock() });
  // One is sent every third of the TTL, so the first lease would have expired by the fourth.
  await until('four keep-alives are answered', () => us.renewals() >= 4);
  us.session.check();
  assert.ok((await us.etcd.timeToLive(us.session.leaseId, BUDGET)) > 0);
});

for (const name of ['monotonicMs', 'wallMs'] as const) {
  test(`A session is lost when ${name} alone steps past the TTL less a fifth, and stays lost.`, async () => {
    const clock = steppedClock();
    await using us = await openClient(server.endpoints, { ttlSeconds: 60, clock });
    clock.step({ [name]: 47_999 });
    us.session.check();
    assert.ok(us.session.budget().totalMs <= 1);
    clock.step({ [name]: 1 });
    assertLost(us.session);
    assert.equal(us.session.budget().totalMs, 0);
    clock.step({ [name]: -HOUR_MS });
    assertLost(us.session);
  });
}

test('The signal fires by itself when the wall clock steps past the TTL, although nobody checks.', async () => {
  const clock = steppedClock();
  await using us = await openClient(server.endpoints, { ttlSeconds: 600, clock });
  clock.step({ wallMs: HOUR_MS });
  assert.ok((await lossOf(us.session)) instanceof LockLostError);
});

test('A wall clock that is set back changes nothing: the session lives, and the monotonic clock still ends it.', async () => {
  const clock = steppedClock();
  await using us = await openClient(server.endpoints, { ttlSeconds: 60, clock });
  clock.step({ wallMs: -HOUR_MS });
  us.session.check();
  clock.step({ monotonicMs: 47_000 });
  us.session.check();
  clock.step({ monotonicMs: 1_000 });
  assertLost(us.session);
});

test('The answer of a keep-alive that comes after the expiry does not revive the session.', async () => {
  const clock = steppedClock();
  await using etcd = connectEtcd(server.endpoints);
  let answered = 0;
  const late: Etcd = {
    ...etcd,
    async keepAlive(id) {
      answered = await etcd.keepAlive(id, BUDGET);
      clock.step({ monotonicMs: 1000 });
      return answered;
    },
  };
  // A lease of 9 s is valid for 7.2 s, which end between the send and the answer.
  await using session = await openSession(late, { ttlSeconds: 9, acquire: BUDGET, clock });
  clock.step({ monotonicMs: 6700 });
  assert.ok((await lossOf(session)) instanceof LockLostError);
  assert.ok(answered > 0, 'etcd had renewed the lease');
  clock.step({ monotonicMs: -2000 });
  assertLost(session);
});

test('The expiry counts from when the grant was sent, not from when it was answered.', async () => {
  const clock = steppedClock();
  await using etcd = connectEtcd(server.endpoints);
  const slow: Etcd = {
    ...etcd,
    async grant(...call) {
      const seconds = await etcd.grant(...call);
      // The answer takes three seconds on its way back.
      clock.step({ monotonicMs: 3000 });
      return seconds;
    },
  };
  await using session = await openSession(slow, { ttlSeconds: 60, acquire: BUDGET, clock });
  // A lease of 60 s is valid for 48 s.
  assert.equal(session.budget().totalMs, 45_000);
});

test('The expiry counts from when a keep-alive was sent, not from when it was answered.', async () => {
  const clock = steppedClock();
  await using etcd = connectEtcd(server.endpoints);
  const answers: number[] = [];
  const slow: Etcd = {
    ...etcd,
    async keepAlive(id) {
      const ttl = await etcd.keepAlive(id, BUDGET);
      // The answer takes half a second on its way back, and the keep-alive before it was sent at the same moment.
      clock.step({ monotonicMs: 500 });
      answers.push(ttl);
      return ttl;
    },
  };
  await using session = await openSession(slow, { ttlSeconds: 9, acquire: BUDGET, clock });
  await until('one keep-alive is answered', () => answers.length === 1);
  await sleep(0);
  // A lease of 9 s is valid for 7.2 s.
  assert.equal(session.budget().totalMs, 6700);
});

test('A revoked lease is a lost lock at the next keep-alive.', async () => {
  await using us = await openClient(server.endpoints, { ttlSeconds: 9, clock: steppedClock() });
  await server.etcdctl(['lease', 'revoke', hex(us.session.leaseId)]);
  const loss = await lossOf(us.session);
  assert.ok(loss instanceof LockLostError);
  assert.match(loss.message, /revoked/);
});

test('A TTL that etcd raises to its minimum is the one that counts.', async () => {
  const clock = steppedClock();
  await using etcd = connectEtcd(server.endpoints);
  let granted = 0;
  const kept: Etcd = {
    ...etcd,
    async grant(...call) {
      granted = await etcd.grant(...call);
      return granted;
    },
    // So short a lease may expire at etcd while this test runs; here only the session's own expiry counts.
    keepAlive: (_, { signal }) =>
      new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
  };
  await using session = await openSession(kept, { ttlSeconds: 1, acquire: BUDGET, clock });
  assert.ok(granted > 1, `etcd grants at least 1.5 times its election time-out: ${granted}`);
  // The margin of 1 s would leave nothing of the second that was asked for.
  clock.step({ monotonicMs: (granted - 1) * 1000 - 1 });
  session.check();
  clock.step({ monotonicMs: 1 });
  assertLost(session);
});

test('A grant whose answer is lost is sent again and gives one lease.', async () => {
  await using proxy = await startTcpProxy(server.endpoints[0]!);
  await using etcd = connectEtcd([proxy.url]);
  await etcd.revoke('1', BUDGET);
  const open = () => openSession(etcd, { ttlSeconds: 60, acquire: BUDGET });
  await using session = await loseAnswer(proxy, open, async () => (await leasesOf(server)).length > 0);
  session.check();
  assert.deepEqual(await leasesOf(server), [hex(session.leaseId)]);
});

test('A session whose grant is never answered leaves no lease behind.', async () => {
  await using etcd = connectEtcd(server.endpoints);
  const silent: Etcd = {
    ...etcd,
    async grant(...call) {
      await etcd.grant(...call);
      throw new LockServiceError('no answer');
    },
  };
  await assert.rejects(openSession(silent, { ttlSeconds: 60, acquire: BUDGET }), { message: 'no answer' });
  assert.deepEqual(await leasesOf(server), []);
});

test('A session that is aborted while its lease is granted leaves none behind.', async () => {
  await using proxy = await startTcpProxy(server.endpoints[0]!);
  await using etcd = connectEtcd([proxy.url]);
  await etcd.revoke('1', BUDGET);
  proxy.mode = 'half-open';
  const stop = new AbortController();
  const opening = failureOf(openSession(etcd, { ttlSeconds: 600, acquire: { ...BUDGET, signal: stop.signal } }));
  await until('a lease is granted', async () => (await leasesOf(server)).length > 0);
  stop.abort(new Error('aborted'));
  assert.equal((await opening).message, 'aborted');
  await until('its lease is revoked', async () => (await leasesOf(server)).length === 0);
});
