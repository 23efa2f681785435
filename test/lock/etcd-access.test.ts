import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { CredentialsError, LockLostError, LockServiceError } from '../../lib/errors.ts';
import type { EtcdCredentials } from '../../lib/lock/endpoint.ts';
import { connectEtcd } from '../../lib/lock/etcd.ts';
import { currentHolder } from '../../lib/lock/holder.ts';
import { type Lock, lock, tryLock } from '../../lib/lock/mutex.ts';
import { createAuthority } from '../support/certificates.ts';
import { BUDGET, failureOf, keysOf, leasesOf, nothing, openClient } from '../support/locking.ts';
import { enableAuth, limitedRole } from '../support/role.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

const ask = async (endpoints: string[], credentials: EtcdCredentials, budget = BUDGET) => {
  await using etcd = connectEtcd(endpoints, credentials);
  await etcd.txn('read the lock', { success: currentHolder('/access/test/lock').operations }, budget);
};

async function take(client: Awaited<ReturnType<typeof openClient>>, lockKey: string): Promise<Lock> {
  const attempt = await tryLock(client.etcd, client.session, { lockKey, value: '', read: nothing });
  assert.ok('lock' in attempt, `the lock is held: ${JSON.stringify(attempt)}`);
  return attempt.lock;
}

const put = (key: string, value: string) => ({ request_put: { key: Buffer.from(key), value: Buffer.from(value) } });

describe('etcd that requires client certificates', () => {
  const authority = createAuthority('ours');
  const client = authority.issue('client');
  let server: LocalEtcd;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'solotick-tls-'));
    const save = async (name: string, pem: string) => {
      await writeFile(join(folder, name), pem);
      return join(folder, name);
    };
    const { cert, key } = authority.issue('server');
    server = await startEtcd({
      tls: {
        ca: await save('ca.pem', authority.cert),
        cert: await save('server.pem', cert),
        key: await save('server-key.pem', key),
        client: { cert: await save('client.pem', client.cert), key: await save('client-key.pem', client.key) },
      },
    });
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  test('The lock works with the right authority and a certificate that it has signed.', async () => {
    await using us = await openClient(server.endpoints, { credentials: { ca: authority.cert, ...client } });
    const held = await take(us, '/access/lock');
    await held.unlock([put('/access/record', 'done')], BUDGET);
    assert.deepEqual(await keysOf(server, '/access/'), ['/access/record']);
  });

  test('Text that is no certificate is refused as credentials, so that the secret is read again.', async () => {
    const error = await failureOf(ask(server.endpoints, { ca: authority.cert, cert: 'secret', key: 'secret' }));
    assert.ok(error instanceof CredentialsError, error.stack);
    assert.match(error.message, /cert or key of the secret cannot be read/);
  });

  const expired = authority.issue('client', { expired: true });
  const stranger = createAuthority('another');
  const faults: [string, EtcdCredentials, RegExp][] = [
    ['the wrong authority', { ca: stranger.cert, ...client }, /verify|self.signed|certificate/],
    ['the authorities of the system', client, /verify|self.signed|certificate/],
    ['an expired client certificate', { ca: authority.cert, ...expired }, /certificate|alert|reset|closed|hang up/],
    ['no client certificate', { ca: authority.cert }, /certificate|alert|reset|closed|hang up/],
    ["another authority's certificate", { ca: authority.cert, ...stranger.issue('client') }, /./],
  ];
  for (const [fault, credentials, why] of faults) {
    test(`With ${fault}, the lock service has failed, and the error says why.`, async () => {
      const error = await failureOf(ask(server.endpoints, credentials, { attemptMs: 3000, totalMs: 3000 }));
      assert.ok(error instanceof LockServiceError, error.stack);
      assert.match(error.message, why);
      assert.deepEqual(await leasesOf(server), []);
    });
  }
});

describe('etcd that requires a user', () => {
  const root = { username: 'root', password: 'root-password' };
  const flags = ['--user=root:root-password'];
  const credentials = { username: 'solotick-test', password: 'user:pass"word' };
  const lockKey = '/access/test/lock';
  const statePrefix = '/access/test/state/';
  let server: LocalEtcd;

  before(async () => {
    // etcd forgets a token after one or two seconds without a call instead of after five minutes.
    server = await startEtcd({ extraArgs: ['--auth-token-ttl=1', '--bcrypt-cost=4'] });
    const certified = ['user', 'add', 'by-certificate', '--no-password'];
    const commands = [...limitedRole({ ...credentials, lockKey, statePrefix }), certified, ...enableAuth(root)];
    for (const command of commands) await server.etcdctl(command);
  });
  after(() => server[Symbol.asyncDispose]());

  /** etcdctl reads the password from its standard input. */
  const changePassword = async (password: string) => {
    const etcdctl = server.spawnEtcdctl([...flags, 'user', 'passwd', credentials.username, '--interactive=false']);
    etcdctl.stdin?.end(`${password}\n`);
    const [code] = await once(etcdctl, 'exit');
    assert.equal(code, 0);
  };

  const nothingIsLeft = async () => {
    assert.deepEqual(await leasesOf(server, flags), []);
    assert.deepEqual(await keysOf(server, `${lockKey}/`, flags), []);
  };

  for (const [fault, wrong] of [
    ['A wrong password', { ...credentials, password: 'wrong' }],
    ['An unknown user', { username: 'nobody', password: 'wrong' }],
    ['A password for a user who has none', { username: 'by-certificate', password: 'wrong' }],
    ['No user at all', {}],
  ] as [string, EtcdCredentials][]) {
    test(`${fault} is refused as credentials, without repeating the secret.`, async () => {
      const error = await failureOf(ask(server.endpoints, wrong));
      assert.ok(error instanceof CredentialsError, error.stack);
      assert.ok(!error.message.includes('wrong'), error.message);
      await nothingIsLeft();
    });
  }

  test('A role limited to the prefixes of lock and state is enough for all that a run does.', async () => {
    await using us = await openClient(server.endpoints, { credentials });
    const held = await take(us, lockKey);
    await held.save([put(`${statePrefix}checkpoint`, 'c')], BUDGET);
    assert.equal(await held.isOwner(BUDGET), true);
    assert.ok((await us.etcd.timeToLive(us.session.leaseId, BUDGET)) > 0);
    await held.unlock([put(`${statePrefix}run`, 'r')], BUDGET);
    const signal = new AbortController().signal;
    const attempt = await lock(us.etcd, us.session, { lockKey, value: '', read: nothing, waitMs: 1000, signal });
    assert.ok('lock' in attempt);
    await us.session[Symbol.asyncDispose]();
    await nothingIsLeft();
  });

  test('That role reaches no other lock and no other state, and a refusal leaves nothing behind.', async () => {
    {
      await using us = await openClient(server.endpoints, { credentials });
      for (const other of ['/access/test/lock2', '/access/test', '/access/prod/lock']) {
        assert.ok((await failureOf(take(us, other))) instanceof CredentialsError);
      }
      const held = await take(us, lockKey);
      assert.ok((await failureOf(held.save([put('/access/prod/state/run', 'x')], BUDGET))) instanceof LockLostError);
      assert.equal(await held.isOwner(BUDGET), true);
    }
    await nothingIsLeft();
  });

  test('A token that expires while a run is quiet is renewed: by the save, the unlock and the revoke.', async () => {
    await using us = await openClient(server.endpoints, { credentials });
    const held = await take(us, lockKey);
    for (const step of [
      () => held.save([put(`${statePrefix}run`, '1')], BUDGET),
      () => held.unlock([put(`${statePrefix}run`, '2')], BUDGET),
      () => us.session[Symbol.asyncDispose](),
    ]) {
      // The token lives for 1 s, and etcd looks at its tokens once a second.
      await sleep(2500);
      await step();
    }
    await nothingIsLeft();
  });

  test('Etcd that is restarted has forgotten its tokens: the session lives on, and the unlock works.', async () => {
    await using us = await openClient(server.endpoints, { ttlSeconds: 30, credentials });
    const held = await take(us, lockKey);
    await server.nodes[0]!.restart();
    us.session.check();
    assert.equal(await held.isOwner(BUDGET), true);
    await held.unlock([put(`${statePrefix}run`, '3')], BUDGET);
    await us.session[Symbol.asyncDispose]();
    await nothingIsLeft();
  });

  test('A change of users and roles does not end a session.', async () => {
    await using us = await openClient(server.endpoints, { credentials });
    const held = await take(us, lockKey);
    await server.etcdctl([...flags, 'role', 'add', 'something-else']);
    await held.save([put(`${statePrefix}run`, '4')], BUDGET);
    assert.equal(await us.etcd.keepAlive(us.session.leaseId, BUDGET), 60);
    await held.unlock([put(`${statePrefix}run`, '5')], BUDGET);
  });

  test('A network that is silent when a call has to authenticate is an error of the lock service.', async () => {
    await using proxy = await startTcpProxy(server.endpoints[0]!);
    proxy.mode = 'black-hole';
    const error = await failureOf(ask([proxy.url], credentials, { attemptMs: 100, totalMs: 200 }));
    assert.ok(error instanceof LockServiceError, error.stack);
  });

  test('Connections that have fallen silent are replaced, between two invocations and within one.', async () => {
    await using proxy = await startTcpProxy(server.endpoints[0]!);
    await ask([proxy.url], credentials);
    proxy.forget();
    await using us = await openClient([proxy.url], { credentials });
    const held = await take(us, lockKey);
    proxy.forget();
    const budget = { attemptMs: 1000, totalMs: 30_000 };
    await held.unlock([put(`${statePrefix}run`, '6')], budget);
  });

  test('A password that is changed while the lock is held is a lost lock and ends all attempts.', async () => {
    await using us = await openClient(server.endpoints, { credentials });
    const held = await take(us, lockKey);
    await changePassword('another');
    const error = await failureOf(held.save([put(`${statePrefix}run`, '7')], BUDGET));
    assert.ok(error instanceof LockLostError, error.stack);
    assert.ok(error.cause instanceof CredentialsError);
    await changePassword(credentials.password);
  });
});
