import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { LockServiceError } from '../../lib/errors.ts';
import { connectEtcd, type Etcd } from '../../lib/lock/etcd.ts';
import { BUDGET, failureOf, leasesOf } from '../support/locking.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

let server: LocalEtcd;
before(async () => {
  server = await startEtcd();
});
after(() => server[Symbol.asyncDispose]());

const ask = (etcd: Etcd, budget = BUDGET) => etcd.txn('ask', { success: [] }, budget);

/** The address of a port without a listener. */
async function closedPort(): Promise<string> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as { port: number };
  listener.close();
  await once(listener, 'close');
  return `http://127.0.0.1:${port}`;
}

test('Leases can be granted and revoked twice, and one that etcd does not know has no time to live.', async () => {
  await using etcd = connectEtcd(server.endpoints);
  assert.equal(await etcd.grant('4711', 60, BUDGET), 60);
  assert.equal(await etcd.grant('4711', 60, BUDGET), 60);
  assert.deepEqual(await leasesOf(server), [(4711).toString(16)]);
  assert.equal(await etcd.keepAlive('4711', BUDGET), 60);
  assert.ok((await etcd.timeToLive('4711', BUDGET)) > 0);
  await etcd.revoke('4711', BUDGET);
  await etcd.revoke('4711', BUDGET);
  assert.equal(await etcd.keepAlive('4711', BUDGET), 0);
  assert.ok((await etcd.timeToLive('4711', BUDGET)) < 0);
});

test('An endpoint that is down or silent is passed over, whichever is tried first.', async () => {
  await using silent = await startTcpProxy(server.endpoints[0]!);
  silent.mode = 'black-hole';
  const endpoints = [await closedPort(), silent.url, ...server.endpoints];
  // A connection begins with a random endpoint, so there are several.
  for (let tries = 0; tries < 6; tries++) {
    await using etcd = connectEtcd(endpoints);
    await ask(etcd, { attemptMs: 500, totalMs: 30_000 });
    // A single attempt, which the silent endpoint would use up.
    await ask(etcd, { attemptMs: 10_000, totalMs: 10_000 });
  }
});

test('Calls that fail at the same moment do not step over the endpoint that works.', async () => {
  await using silent = await startTcpProxy(server.endpoints[0]!);
  silent.mode = 'black-hole';
  // A connection begins with a random endpoint, so there are several.
  for (let tries = 0; tries < 8; tries++) {
    await using etcd = connectEtcd([silent.url, ...server.endpoints]);
    const budget = { attemptMs: 500, totalMs: 10_000 };
    await Promise.all([ask(etcd, budget), ask(etcd, budget)]);
  }
});

test('No endpoint that answers: the error names the operation, the endpoints and the last cause.', async () => {
  const endpoints = [await closedPort(), await closedPort()];
  await using etcd = connectEtcd(endpoints);
  const error = await failureOf(ask(etcd, { attemptMs: 3000, totalMs: 3000.25 }));
  assert.ok(error instanceof LockServiceError);
  assert.equal(error.code, 'LOCK_SERVICE');
  assert.ok(error.cause instanceof Error);
  for (const part of ['"ask"', 'within 3000 ms', ...endpoints, 'ECONNREFUSED'])
    assert.ok(error.message.includes(part), error.message);
});

test('A connection that has fallen silent is given up after one attempt, and a new one goes through.', async () => {
  await using proxy = await startTcpProxy(server.endpoints[0]!);
  await using etcd = connectEtcd([proxy.url]);
  await etcd.grant('4712', 60, BUDGET);
  await ask(etcd);
  proxy.forget();
  const budget = { attemptMs: 1000, totalMs: 30_000 };
  assert.equal(await etcd.keepAlive('4712', budget), 60);
  await ask(etcd, { attemptMs: 10_000, totalMs: 10_000 });
  await etcd.revoke('4712', BUDGET);
});

test('A call whose answer no retry would change fails at once.', async () => {
  await using etcd = connectEtcd(server.endpoints);
  const request = { success: [{ request_put: { key: Buffer.alloc(0), value: Buffer.from('x') } }] };
  const budget = { attemptMs: 60_000, totalMs: 600_000 };
  const error = await failureOf(etcd.txn('put nowhere', request, budget));
  assert.ok(error instanceof LockServiceError);
  assert.match(error.message, /refused "put nowhere": .*key is not provided/);
});

test('An abort ends a waiting call and prevents the next one, with the reason of the signal.', async () => {
  await using proxy = await startTcpProxy(server.endpoints[0]!);
  await using etcd = connectEtcd([proxy.url]);
  proxy.mode = 'black-hole';
  const stop = new AbortController();
  const budget = { attemptMs: 60_000, totalMs: 600_000, signal: stop.signal };
  const waiting = failureOf(ask(etcd, budget));
  const reason = new Error('aborted');
  await sleep(50);
  stop.abort(reason);
  assert.equal(await waiting, reason);
  assert.equal(await failureOf(ask(etcd, budget)), reason);
});

test('A keep-alive whose stream breaks after its answer has arrived raises no error.', async () => {
  await using proxy = await startTcpProxy(server.endpoints[0]!);
  await using etcd = connectEtcd([proxy.url]);
  await etcd.grant('4713', 60, BUDGET);
  const budget = { attemptMs: 1000, totalMs: 30_000 };
  assert.equal(await etcd.keepAlive('4713', budget), 60);
  proxy.mode = 'half-open';
  // The stream's end never comes, so its deadline passes, which is an error that nobody awaits.
  await sleep(1500);
  proxy.mode = 'pass';
  assert.equal(await etcd.keepAlive('4713', BUDGET), 60);
  await etcd.revoke('4713', BUDGET);
});

test('Etcd that comes back is found again by the call that waits for it.', async () => {
  await using etcd = connectEtcd(server.endpoints);
  await ask(etcd);
  const [node] = server.nodes;
  await node!.kill();
  const waiting = ask(etcd, { attemptMs: 1000, totalMs: 120_000 });
  await node!.restart();
  await waiting;
});
