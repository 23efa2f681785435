import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { LockLostError, LockServiceError } from '../../lib/errors.ts';
import type { Etcd } from '../../lib/lock/etcd.ts';
import { type Lock, tryLock } from '../../lib/lock/mutex.ts';
import type { Session } from '../../lib/lock/session.ts';
import { leaderOf } from '../support/leader.ts';
import {
  BUDGET,
  failureOf,
  keysOf,
  leasesOf,
  nothing,
  openClient,
  SHORT_BUDGET,
  steppedClock,
  until,
} from '../support/locking.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

const run = { request_put: { key: Buffer.from('/state/run'), value: Buffer.from('last') } };

const attempt = ({ etcd, session }: { etcd: Etcd; session: Session }) =>
  tryLock(etcd, session, { lockKey: '/lock', value: '', read: nothing });

async function take(client: { etcd: Etcd; session: Session }): Promise<Lock> {
  const taken = await attempt(client);
  assert.ok('lock' in taken, `the lock is held: ${JSON.stringify(taken)}`);
  return taken.lock;
}

/** At once, or when the lease of a client that was cut off has ended. */
async function nothingIsLeft(server: LocalEtcd) {
  await until('no lease is left', async () => (await leasesOf(server)).length === 0);
  assert.deepEqual(await keysOf(server, '/lock'), []);
}

async function lossOf(session: Session) {
  await until('the session is lost', () => session.signal.aborted);
  return session.signal.reason;
}

/** An etcd behind a network that can fail. */
async function startNetwork() {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startEtcd());
  const proxy = stack.use(await startTcpProxy(server.endpoints[0]!));
  const heal = () => {
    proxy.cut();
    proxy.mode = 'pass';
  };
  const owned = stack.move();
  return { server, proxy, heal, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

// Each test has an etcd of its own and mostly waits for leases, so side by side they take as long as the longest.
describe('the lock when etcd or the way to it fails', { concurrency: true }, () => {
  test('Etcd that is down when a run begins has failed: an error within the budget, and nothing is left.', async () => {
    await using server = await startEtcd();
    await server.nodes[0]!.kill();
    assert.ok((await failureOf(openClient(server.endpoints, { acquire: SHORT_BUDGET }))) instanceof LockServiceError);
    await server.nodes[0]!.restart();
    await nothingIsLeft(server);
  });

  for (const mode of ['black-hole', 'half-open'] as const) {
    test(`A ${mode} when a run begins is an error within the budget, and nothing is left.`, async () => {
      await using network = await startNetwork();
      network.proxy.mode = mode;
      const opening = openClient([network.proxy.url], { acquire: SHORT_BUDGET });
      assert.ok((await failureOf(opening)) instanceof LockServiceError);
      network.heal();
      await nothingIsLeft(network.server);
    });

    test(`A ${mode} while the lock is being taken ends in an error, and the lock ends with the lease.`, async () => {
      await using network = await startNetwork();
      {
        await using us = await openClient([network.proxy.url], { ttlSeconds: 5 });
        await us.etcd.txn('open the connection', { success: [] }, BUDGET);
        network.proxy.mode = mode;
        const error = await failureOf(attempt(us));
        assert.ok(error instanceof LockServiceError || error instanceof LockLostError, error.stack);
      }
      network.heal();
      await nothingIsLeft(network.server);
    });

    test(`A ${mode} while the lock is held is a lost lock before the lease can have expired.`, async () => {
      await using network = await startNetwork();
      await using us = await openClient([network.proxy.url], { ttlSeconds: 8 });
      await using witness = await openClient(network.server.endpoints);
      const held = await take(us);
      network.proxy.mode = mode;
      // When another client gets the lock because the lease has expired, the session is lost already.
      await until('the lease has expired', async () => 'lock' in (await attempt(witness)));
      assert.throws(() => us.session.check(), LockLostError);
      const { reason } = us.session.signal;
      assert.ok(reason instanceof LockLostError);
      assert.equal(await failureOf(held.save([run], us.session.budget())), reason);
      network.heal();
    });
  }

  test('A network that comes back in time ends nothing: the session lives and the unlock works.', async () => {
    await using network = await startNetwork();
    await using us = await openClient([network.proxy.url], { ttlSeconds: 30 });
    const held = await take(us);
    network.proxy.mode = 'black-hole';
    const saved = held.save([run], us.session.budget());
    saved.catch(() => undefined);
    // An attempt is given up after 2 s.
    await sleep(2500);
    network.proxy.mode = 'pass';
    await saved;
    us.session.check();
    await held.unlock([run], BUDGET);
    await us.session[Symbol.asyncDispose]();
    await nothingIsLeft(network.server);
  });

  test('Connections that fall silent while the lock is held are replaced in time by the keep-alive.', async () => {
    await using network = await startNetwork();
    await using us = await openClient([network.proxy.url], { ttlSeconds: 24 });
    const held = await take(us);
    const before = us.renewals();
    network.proxy.forget();
    await until('etcd has answered a keep-alive on a new connection', () => us.renewals() > before);
    us.session.check();
    assert.equal(await held.isOwner(BUDGET), true);
    await held.unlock([run], BUDGET);
    await us.session[Symbol.asyncDispose]();
    await nothingIsLeft(network.server);
  });

  test('Etcd that is restarted with its data keeps the lock, and the session lives on.', async () => {
    await using server = await startEtcd();
    await using us = await openClient(server.endpoints, { ttlSeconds: 60 });
    const held = await take(us);
    await server.nodes[0]!.restart();
    assert.equal(await us.etcd.keepAlive(us.session.leaseId, BUDGET), 60);
    us.session.check();
    await held.unlock([run], us.session.budget());
    await us.session[Symbol.asyncDispose]();
    await nothingIsLeft(server);
  });

  test('A session survives the loss of the leader, whichever endpoint it uses, and the unlock works.', async () => {
    await using server = await startEtcd({ nodes: 3 });
    // Each begins with a random endpoint, so some of them talk to the leader.
    const clients = await Promise.all(
      Array.from({ length: 8 }, () => openClient(server.endpoints, { ttlSeconds: 24 })),
    );
    await using stack = new AsyncDisposableStack();
    for (const client of clients) stack.use(client);
    const holder = await take(clients[0]!);
    const lost = await leaderOf(server);
    await lost.kill();
    const before = clients.map(({ renewals }) => renewals());
    await until('each lease is kept alive without that node', () =>
      clients.every(({ renewals }, index) => renewals() > before[index]!),
    );
    for (const { session } of clients) session.check();
    await holder.unlock([run], clients[0]!.session.budget());
    await stack.disposeAsync();
    await lost.restart();
    await nothingIsLeft(server);
  });

  test('Without two of three nodes the session is lost before its lease can have expired.', async () => {
    await using server = await startEtcd({ nodes: 3 });
    const clock = steppedClock();
    await using us = await openClient(server.endpoints, { ttlSeconds: 9, clock });
    const held = await take(us);
    await until('a keep-alive was answered', () => us.renewals() > 0);
    await Promise.all(server.nodes.slice(1).map((node) => node.kill()));
    // On this clock, which stands still from now on, the lease has more than 2 s left when the session is lost.
    clock.step({ monotonicMs: 6500 });
    const reason = await lossOf(us.session);
    assert.ok(reason instanceof LockLostError);
    assert.equal(await failureOf(held.save([run], us.session.budget())), reason);
  });
});
