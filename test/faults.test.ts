import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type EtcdNode, type LocalEtcd, startEtcd } from '../infra/local/etcd.ts';
import { startTcpProxy, type TcpProxy } from '../infra/local/tcp-proxy.ts';
import { LockLostError, LockServiceError } from '../lib/errors.ts';
import type { Etcd } from '../lib/etcd.ts';
import { type Lock, tryLock } from '../lib/mutex.ts';
import { openSession, type Session } from '../lib/session.ts';
import { BUDGET, failureOf, keysOf, leasesOf, openClient, until } from './support/locking.ts';

type Client = Awaited<ReturnType<typeof openClient>>;

const run = (lockKey: string) => ({ request_put: { key: Buffer.from(`${lockKey}-run`), value: Buffer.from('last') } });

const attempt = ({ etcd, session }: { etcd: Etcd; session: Session }, lockKey: string) =>
  tryLock(etcd, session, { lockKey, value: '', reads: [] });

async function take(client: Client, lockKey: string): Promise<Lock> {
  const taken = await attempt(client, lockKey);
  assert.ok('lock' in taken, `the lock is held: ${JSON.stringify(taken)}`);
  return taken.lock;
}

async function nothingIsLeft(server: LocalEtcd, lockKey: string) {
  await until(`no lease is left after ${lockKey}`, async () => (await leasesOf(server)).length === 0);
  assert.deepEqual(await keysOf(server, `${lockKey}/`), []);
}

/** How a session ended, and whether its lease could have ended before: told by when etcd was last asked for it in vain. */
async function lossOf(session: Session) {
  await until('the session is lost', () => session.signal.aborted);
  return { reason: session.signal.reason, atMs: performance.now() };
}

describe('a single etcd behind a network that fails', () => {
  let server: LocalEtcd;
  let proxy: TcpProxy;
  before(async () => {
    server = await startEtcd();
    proxy = await startTcpProxy(server.endpoints[0]!);
  });
  after(async () => {
    await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  test('Etcd that is down when a run begins has failed: an error within the budget, and nothing is left.', async () => {
    const node = server.nodes[0]!;
    await node.kill();
    assert.ok((await failureOf(openClient(server.endpoints))) instanceof LockServiceError);
    await node.restart();
    await nothingIsLeft(server, '/down');
  });

  for (const mode of ['black-hole', 'half-open'] as const) {
    test(`A ${mode} when a run begins is an error within the budget, and nothing is left.`, async () => {
      proxy.mode = mode;
      assert.ok((await failureOf(openClient([proxy.url]))) instanceof LockServiceError);
      proxy.cut();
      proxy.mode = 'pass';
      await nothingIsLeft(server, `/begin-${mode}`);
    });

    test(`A ${mode} while the lock is being taken ends in an error, and the lock ends with the lease.`, async () => {
      {
        await using us = await openClient([proxy.url], { ttlSeconds: 3 });
        await us.etcd.txn('open the connection', { success: [] }, BUDGET);
        proxy.mode = mode;
        const error = await failureOf(attempt(us, `/taking-${mode}`));
        assert.ok(error instanceof LockServiceError || error instanceof LockLostError, error.stack);
      }
      proxy.cut();
      proxy.mode = 'pass';
      await nothingIsLeft(server, `/taking-${mode}`);
    });

    test(`A ${mode} while the lock is held is a lost lock before the lease can have expired.`, async () => {
      await using us = await openClient([proxy.url], { ttlSeconds: 5 });
      const held = await take(us, `/held-${mode}`);
      // A client of its own, so that the fault hits only the holder.
      await using witness = await openClient(server.endpoints);
      proxy.mode = mode;
      const { reason } = await lossOf(us.session);
      assert.ok(reason instanceof LockLostError);
      assert.ok('heldBy' in (await attempt(witness, `/held-${mode}`)), 'the lease outlives the session');
      const error = await failureOf(held.save([run(`/held-${mode}`)], us.session.budget()));
      assert.equal(error, reason);
      proxy.cut();
      proxy.mode = 'pass';
    });
  }

  test('A network that comes back in time ends nothing: the session lives and the unlock works.', async () => {
    await using us = await openClient([proxy.url], { ttlSeconds: 6 });
    const held = await take(us, '/back');
    proxy.mode = 'black-hole';
    const saved = held.save([run('/back')], us.session.budget());
    saved.catch(() => undefined);
    // The first attempt is given up after a sixth of the TTL.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    proxy.mode = 'pass';
    await saved;
    us.session.check();
    await held.unlock([run('/back')], BUDGET);
    await us.session[Symbol.asyncDispose]();
    await nothingIsLeft(server, '/back');
  });

  test('Connections that fall silent while the lock is held are replaced in time by the keepalive.', async () => {
    await using us = await openClient([proxy.url], { ttlSeconds: 5 });
    const held = await take(us, '/silent');
    proxy.forget();
    // Longer than the lease without a keepalive.
    await new Promise((resolve) => setTimeout(resolve, 9000));
    us.session.check();
    assert.equal(await held.isOwner(BUDGET), true);
    await held.unlock([run('/silent')], BUDGET);
    await us.session[Symbol.asyncDispose]();
    await nothingIsLeft(server, '/silent');
  });

  test('Etcd that is restarted with its data keeps the lock, and the session lives on.', async () => {
    await using us = await openClient(server.endpoints, { ttlSeconds: 8 });
    const held = await take(us, '/restart');
    await server.nodes[0]!.restart();
    const before = await us.etcd.timeToLive(us.session.leaseId, BUDGET);
    await until('the lease was renewed after the restart', async () => {
      us.session.check();
      return (await us.etcd.keepAlive(us.session.leaseId, BUDGET)) >= before;
    });
    await held.unlock([run('/restart')], us.session.budget());
    await us.session[Symbol.asyncDispose]();
    await nothingIsLeft(server, '/restart');
  });
});

describe('three nodes of etcd', () => {
  let server: LocalEtcd;
  before(async () => {
    server = await startEtcd({ nodes: 3 });
  });
  after(() => server[Symbol.asyncDispose]());

  async function leader(): Promise<EtcdNode> {
    const statuses: { Endpoint: string; Status: { leader: number; header: { member_id: number } } }[] = JSON.parse(
      await server.etcdctl(['endpoint', 'status', '--write-out=json']),
    );
    const found = statuses.find(({ Status }) => Status.leader === Status.header.member_id);
    const node = server.nodes.find(({ endpoint }) => endpoint === found?.Endpoint);
    assert.ok(node, 'the cluster has a leader');
    return node;
  }

  test('Whichever endpoint is in use, a session survives the loss of the leader, and the unlock works.', async () => {
    // One of them is connected to the leader alone at first: its list begins anywhere, so all three orders are played.
    const clients = await Promise.all([1, 2, 3, 4].map(() => openClient(server.endpoints, { ttlSeconds: 8 })));
    await using stack = new AsyncDisposableStack();
    for (const client of clients) stack.use(client);
    const locks = await Promise.all(clients.map((client, index) => take(client, `/leader/${index}`)));
    const lost = await leader();
    await lost.kill();
    // Longer than the lease, so that keepalives must have gone to the others.
    await new Promise((resolve) => setTimeout(resolve, 9000));
    for (const [index, client] of clients.entries()) {
      client.session.check();
      await locks[index]!.unlock([run(`/leader/${index}`)], client.session.budget());
    }
    await stack.disposeAsync();
    await lost.restart();
    await nothingIsLeft(server, '/leader');
  });

  test('Without two of three nodes the session is lost before its lease can have expired.', async () => {
    const ttlSeconds = 8;
    let renewedMs = 0;
    await using us = await openClient(server.endpoints, { ttlSeconds: 60 });
    const watched: Etcd = {
      ...us.etcd,
      async keepAlive(...call) {
        const sentMs = performance.now();
        const ttl = await us.etcd.keepAlive(...call);
        renewedMs = sentMs;
        return ttl;
      },
    };
    await using session = await openSession(watched, { ttlSeconds, acquire: BUDGET });
    const taken = await attempt({ etcd: us.etcd, session }, '/quorum');
    assert.ok('lock' in taken);
    await until('a keepalive was answered', () => renewedMs > 0);
    const lost = server.nodes.slice(1);
    await Promise.all(lost.map((node) => node.kill()));
    const { reason, atMs } = await lossOf(session);
    assert.ok(reason instanceof LockLostError);
    assert.ok(atMs < renewedMs + ttlSeconds * 1000, `lost ${atMs - renewedMs} ms after the last keepalive`);
    assert.equal(await failureOf(taken.lock.save([run('/quorum')], session.budget())), reason);
    await Promise.all(lost.map((node) => node.restart()));
  });
});
