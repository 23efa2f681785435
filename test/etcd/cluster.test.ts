import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { request } from 'node:https';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CredentialsError, LockLostError, LockServiceError } from '../../lib/errors.ts';
import type { EtcdCredentials } from '../../lib/lock/endpoint.ts';
import { connectEtcd } from '../../lib/lock/etcd.ts';
import { etcdCluster } from '../support/etcd-cluster.ts';
import { BUDGET, failureOf } from '../support/locking.ts';
import { model, startWorld } from '../support/world.ts';

// The tests are one story: each leaves a healthy cluster of three for the next.
let cluster: Awaited<ReturnType<typeof etcdCluster>>;
before(async () => {
  cluster = await etcdCluster();
});
after(() => cluster[Symbol.asyncDispose]());

const prefix = `/cluster/${randomUUID()}`;
const lockKey = `${prefix}/lock`;
const statePrefix = `${prefix}/state/`;
const user = { username: 'solotick-test', password: 'first-password' };

const healthy = () => Promise.all(cluster.nodes.map((node) => node.healthy()));

/** The ids of the members by name. */
async function members() {
  const listed = JSON.parse(await cluster.etcdctl('member', 'list', '--write-out=json', '--hex'));
  return new Map((listed.members as { ID: string; name: string }[]).map(({ ID, name }) => [name, ID]));
}

async function clientCredentials(): Promise<EtcdCredentials> {
  const [ca, cert, key] = await Promise.all(['ca', 'client', 'client-key'].map(cluster.pem));
  return { ca, cert, key, ...user };
}

/** Runs against the cluster with the same parts of the secret as a deployed function. */
async function worldOnCluster(count: number) {
  const world = await startWorld({
    endpoints: cluster.endpoints,
    records: Array.from({ length: count }, (_, index) => model(index)),
    pageSize: 50,
    env: { LOCK_KEY: lockKey, STATE_PREFIX: statePrefix },
  });
  world.secrets.put('world', {
    source: { username: 'reader', password: 'reader-password' },
    target: { token: 'writer-token' },
    etcd: await clientCredentials(),
  });
  return world;
}

type Tick = { status: string; fencingToken: string; report: { written: number } };
type World = Awaited<ReturnType<typeof worldOnCluster>>;
const tick = async (world: World) => (await world.tick()) as unknown as Tick;

/** A tick that is repeated while etcd does not answer: on a busy machine a new leader takes longer than a run waits. */
async function tickInTheEnd(world: World): Promise<Tick> {
  for (let tries = 1; ; tries++) {
    try {
      return await tick(world);
    } catch (error) {
      const isLate = error instanceof LockServiceError || error instanceof LockLostError;
      if (!isLate || tries === 20) throw error;
    }
  }
}

/** The lease of a run that etcd did not answer in time may hold the lock for a while. */
async function completedTick(world: World): Promise<Tick> {
  for (let tries = 1; ; tries++) {
    const result = await tickInTheEnd(world);
    if (result.status === 'completed' || tries === 90) return result;
    await sleep(1000);
  }
}

test('Three nodes form a cluster, although one starts long after the others.', async () => {
  const [first, second, late] = cluster.nodes;
  first!.start('new');
  second!.start('new');
  await Promise.all([first!.healthy(), second!.healthy()]);
  late!.start('existing');
  await healthy();
  assert.deepEqual([...(await members()).keys()].sort(), ['etcd-1', 'etcd-2', 'etcd-3']);
});

test('All three nodes can turn authentication on at the same time, and again; a new password replaces the old one.', async () => {
  const auth = (password: string) => cluster.auth(user.username, lockKey, statePrefix, password);
  await Promise.all(cluster.nodes.map(() => auth('first-password')));
  assert.match(await cluster.etcdctl('auth', 'status'), /Authentication Status: true/);
  const revision = async () => /AuthRevision: (\d+)/.exec(await cluster.etcdctl('auth', 'status'))?.[1];
  const settled = await revision();
  await auth('first-password');
  assert.equal(await revision(), settled);
  await auth('second-password');
  await using etcd = connectEtcd(cluster.endpoints, await clientCredentials());
  const read = { success: [{ request_range: { key: Buffer.from(`${lockKey}/`) } }] };
  assert.ok((await failureOf(etcd.txn('read', read, BUDGET))) instanceof CredentialsError);
  user.password = 'second-password';
});

test('Clients need the certificate and the password, and reach only the lock and the state.', async () => {
  const put = (key: string) => ({ success: [{ request_put: { key: Buffer.from(key), value: Buffer.from('x') } }] });
  const attempt = async (credentials: EtcdCredentials, key: string) => {
    await using etcd = connectEtcd(cluster.endpoints, credentials);
    return await etcd.txn('put', put(key), { attemptMs: 1000, totalMs: 1500 });
  };
  const all = await clientCredentials();
  const { username, password, ca, cert, key } = all;
  for (const allowed of [`${lockKey}/1`, `${lockKey}.shards/0-of-2/1`, `${statePrefix}run`])
    await attempt(all, allowed);
  await cluster.etcdctl('del', '--prefix', prefix);
  for (const forbidden of [`${prefix}/other`, `${lockKey}1`, '/else'])
    assert.ok((await failureOf(attempt(all, forbidden))) instanceof CredentialsError, forbidden);
  const anonymous = await failureOf(attempt({ ca, cert, key }, `${lockKey}/1`));
  assert.ok(anonymous instanceof CredentialsError, anonymous.stack);
  const stranger = await failureOf(attempt({ ca, username, password }, `${lockKey}/1`));
  assert.ok(stranger instanceof LockServiceError, stranger.stack);
});

test("The job's certificate does not admit to the traffic between nodes.", async () => {
  const ask = async (certificate: string) => {
    const [ca, cert, key] = await Promise.all(['ca', certificate, `${certificate}-key`].map(cluster.pem));
    const answered = Promise.withResolvers<number | undefined>();
    const options = { ca, cert, key, agent: false as const };
    request(`${cluster.nodes[0]!.peerUrl}/members`, options, (response) => {
      response.resume();
      answered.resolve(response.statusCode);
    })
      .on('error', answered.reject)
      .end();
    return answered.promise;
  };
  assert.equal(await ask('etcd-2'), 200);
  await assert.rejects(ask('client'));
  await assert.rejects(ask('root'));
});

test('A killed node comes back with its data as the same member.', async () => {
  const before = await members();
  const [node] = cluster.nodes;
  await node!.stop();
  // As a new machine with the old disk.
  node!.start('existing');
  await healthy();
  assert.deepEqual(await members(), before);
});

test('Runs continue while a node loses its disk and is replaced by a new member.', async () => {
  await using world = await worldOnCluster(200);
  const before = await members();
  const lost = cluster.nodes[1]!;
  const results: Tick[] = [];
  let over = false;
  const runs = (async () => {
    // Bounded: a replacement takes seconds, and each run some dozens of milliseconds.
    for (let runs = 0; runs < 10_000 && !over; runs++) results.push(await tickInTheEnd(world));
  })();
  try {
    await lost.stop();
    await lost.loseDisk();
    const without = await tickInTheEnd(world);
    assert.ok(['completed', 'skipped'].includes(without.status));
    lost.start('existing');
    await healthy();
  } finally {
    over = true;
    await runs;
  }
  assert.ok(results.some(({ status }) => status === 'completed'));
  assert.ok(results.every(({ status }) => status === 'completed' || status === 'skipped'));
  const afterwards = await members();
  assert.deepEqual([...afterwards.keys()].sort(), [...before.keys()].sort());
  assert.notEqual(afterwards.get(lost.name), before.get(lost.name));
  assert.equal((await completedTick(world)).status, 'completed');
});

test('After a restore, fencing tokens continue above all earlier ones, so the target accepts the next one.', async () => {
  await using world = await worldOnCluster(20);
  await completedTick(world);
  const snapshot = await cluster.nodes[2]!.snapshot();
  const last = await completedTick(world);

  await Promise.all(cluster.nodes.map((node) => node.stop()));
  // A node without data cannot start a cluster by itself, but it can be restored.
  await cluster.nodes[0]!.loseDisk();
  await assert.rejects(cluster.nodes[0]!.startOnce('existing'), /node\.sh failed/);
  for (const node of cluster.nodes) await node.restore(snapshot);
  for (const node of cluster.nodes) node.start('existing');
  await healthy();

  const next = await completedTick(world);
  assert.equal(next.status, 'completed');
  assert.ok(BigInt(next.fencingToken) > BigInt(last.fencingToken), `${next.fencingToken} after ${last.fencingToken}`);
  assert.ok(!world.target.refusals.includes(412));
  assert.equal((await members()).size, 3);
});
