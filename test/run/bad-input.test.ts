import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { serve } from '../../infra/local/serve.ts';
import { apiKey } from '../../lib/http/auth.ts';
import { leftBehind, NOTHING } from '../support/lock.ts';
import { model, startWorld } from '../support/world.ts';

/** Only against hanging: the budgets of the calls are much shorter. */
const SECONDS = { timeout: 60_000 };

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const worldOf = (endpoints: string[], env: Record<string, string> = {}) =>
  startWorld({ endpoints, records: [model(1), model(2)], env });

type World = Awaited<ReturnType<typeof worldOf>>;

/** Every function fails with this error, and the target receives no request. */
async function assertRefused(world: World, expected: { name: string; code: string; message: RegExp }) {
  await Promise.all([
    assert.rejects(world.tick(), expected),
    assert.rejects(world.backfill({ ids: ['model-00001'] }), expected),
    assert.rejects(world.control({ action: 'status' }), expected),
  ]);
  assertNothingWritten(world);
}

function assertNothingWritten({ target }: World) {
  assert.deepEqual([target.writes.length, target.refusals.length], [0, 0]);
}

/** A loopback port that accepts connections and never answers. */
async function startBlackHole() {
  const server = createServer();
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => sockets.add(socket.on('error', () => undefined)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

test(
  'An etcd that is down, one that accepts connections and never answers, and something else in its place are errors within seconds.',
  SECONDS,
  async () => {
    await using silent = await startBlackHole();
    await using page = await serve((_, response) => {
      response.end('<html>');
    });
    const down = await startBlackHole();
    await down[Symbol.asyncDispose]();
    await using world = await worldOf([]);
    const refusals = [down, silent, page].map(({ url }) => {
      world.env.ETCD_ENDPOINTS = url;
      return assertRefused(world, {
        name: 'LockServiceError',
        code: 'LOCK_SERVICE',
        message: new RegExp(`etcd .*${url}`),
      });
    });
    await Promise.all(refusals);
  },
);

test('One working address among several is enough.', SECONDS, async () => {
  await using hole = await startBlackHole();
  await using world = await worldOf([hole.url, ...etcd.endpoints]);
  assert.equal((await world.tick()).status, 'completed');
  assert.deepEqual(await leftBehind(etcd, world.env.LOCK_KEY!), NOTHING);
});

test(
  'A wrong password, or a user who may not use the keys, is an error within seconds; a corrected secret is used at once.',
  SECONDS,
  async () => {
    await using guarded = await startEtcd();
    const root = '--user=root:root-password';
    for (const args of [
      ['user', 'add', 'root:root-password'],
      ['user', 'grant-role', 'root', 'root'],
      ['user', 'add', 'stranger:stranger-password'],
      ['auth', 'enable'],
    ]) {
      await guarded.etcdctl(args);
    }
    await using world = await worldOf(guarded.endpoints);
    const useEtcd = (username: string, password: string) =>
      world.secrets.put('world', {
        ...{ source: world.source.credentials, target: { token: world.target.token }, etcd: { username, password } },
      });
    const expected = (message: RegExp) => ({ name: 'CredentialsError', code: 'CREDENTIALS', message });

    await assertRefused(world, expected(/user name is empty/));
    useEtcd('root', 'wrong-password');
    await assertRefused(world, expected(/authentication failed, invalid user ID or password/));
    useEtcd('stranger', 'stranger-password');
    await assertRefused(world, expected(/permission denied/));
    assert.equal(await guarded.etcdctl([root, 'get', '', '--prefix', '--keys-only']), '');
    useEtcd('root', 'root-password');
    assert.equal((await world.tick()).status, 'completed');
  },
);

for (const [what, name, value] of [
  ['text that is not JSON', 'run', '{"last":'],
  ['JSON of another shape', 'checkpoint', '{"failed":{}}'],
] as const) {
  test(`A state that holds ${what} is an error that names its key, and stays unchanged.`, async () => {
    await using world = await worldOf(etcd.endpoints);
    const key = `${world.env.STATE_PREFIX}${name}`;
    await etcd.etcdctl(['put', key, value]);
    await assertRefused(world, { name: 'StateError', code: 'STATE', message: new RegExp(`^etcd key ${key} `) });
    assert.equal((await etcd.etcdctl(['get', key, '--print-value-only'])).trim(), value);
    assert.deepEqual(await leftBehind(etcd, world.env.LOCK_KEY!), NOTHING);
  });
}

const MANY_BYTES = 33 * 1024 * 1024;
const LONG_CURSOR = /^the source gave a cursor of 800000 characters, more than 65536$/;

for (const [what, body, message] of [
  ['with a page of HTML', '<html>sign in</html>', /answered with 20 bytes that are not JSON in UTF-8/],
  ['with nothing', '', /answered with 0 bytes that are not JSON/],
  ['with bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0x22]), /3 bytes that are not JSON in UTF-8/],
  ['with JSON that is not a page', '["a"]', /has no array "models"/],
  ['with records that are not a list', '{"models":{},"nextCursor":null}', /has no array "models"/],
  ['with a cursor that is no text', '{"models":[],"nextCursor":[2]}', /a cursor that is neither text nor a number/],
  ['with the same cursor for ever', '{"models":[],"nextCursor":"again"}', /a cursor that it had given before/],
  ['with a cursor beyond all bounds', JSON.stringify({ models: [], nextCursor: 'x'.repeat(800_000) }), LONG_CURSOR],
  ['with a page beyond all bounds', ' '.repeat(MANY_BYTES), /the answer is larger than 33554432 bytes/],
] as const) {
  test(`A source that answers ${what} is an error within seconds.`, SECONDS, async () => {
    await using source = await serve((_, response) => {
      response.end(body);
    });
    await using world = await worldOf(etcd.endpoints, { SOURCE_URL: source.url });
    await assert.rejects(world.tick(), { name: 'SourceError', code: 'SOURCE', message });
    assertNothingWritten(world);
    assert.deepEqual(await leftBehind(etcd, world.env.LOCK_KEY!), NOTHING);
    const { lastRun } = await world.control({ action: 'status' });
    assert.deepEqual([lastRun?.status, lastRun?.error?.name], ['failed', 'SourceError']);
  });
}

for (const status of [302, 403, 404]) {
  test(
    `A source that answers ${status} is an error with that status, and no redirect is followed.`,
    SECONDS,
    async () => {
      let requests = 0;
      await using source = await serve((_, response) => {
        requests++;
        response.writeHead(status, { location: '/elsewhere' }).end();
      });
      await using world = await worldOf(etcd.endpoints, { SOURCE_URL: source.url });
      const message = new RegExp(`GET /v1/models\\?limit=500 at the source was answered with ${status}`);
      await assert.rejects(world.tick(), { name: 'SourceError', code: 'SOURCE', message });
      assert.equal(requests, 1);
      assertNothingWritten(world);
      assert.deepEqual(await leftBehind(etcd, world.env.LOCK_KEY!), NOTHING);
    },
  );
}

test(
  'An authorization that cannot be is a JobError before anything is locked, and so is one at the target.',
  SECONDS,
  async () => {
    const two = (() => [apiKey({ header: 'a', value: 'b' }), apiKey({ header: 'c', value: 'd' })]) as never;
    for (const [part, options] of [
      ['source', { job: { source: { auth: two } as never } }],
      ['target', { writes: { auth: two, write: () => ({ method: 'PUT', path: '/' }) as const } }],
    ] as const) {
      // Nobody listens there: what is found before the lock needs no etcd.
      await using world = await startWorld({ endpoints: ['http://127.0.0.1:9'], records: [model(1)], ...options });
      const expected = {
        name: 'JobError',
        code: 'JOB',
        message: new RegExp(`^${part}\\.auth must return one authorization`),
      };
      await Promise.all([
        assert.rejects(world.tick(), expected),
        assert.rejects(world.backfill({ dryRun: true }), expected),
      ]);
      assertNothingWritten(world);
    }
  },
);

test('A secret without a part that the job declares is a SecretError before anything is locked.', SECONDS, async () => {
  await using world = await worldOf(['http://127.0.0.1:9']);
  world.secrets.put('world', { source: { username: 'reader', password: 'hunter2' } });
  await assertRefused(world, { name: 'SecretError', code: 'SECRET', message: /target is missing$/ });
});

test(
  'A backfill by ids of a job that cannot read single records is refused before anything is asked.',
  SECONDS,
  async () => {
    await using world = await startWorld({
      endpoints: etcd.endpoints,
      records: [model(1)],
      job: { source: { one: undefined } },
    });
    const expected = {
      name: 'EventError',
      code: 'EVENT',
      message: /cannot read single records: it has no source\.one/,
    };
    for (const dryRun of [false, true])
      await assert.rejects(world.backfill({ ids: ['model-00001'], dryRun }), expected);
    assert.deepEqual([world.source.requests.length, world.target.writes.length], [0, 0]);
  },
);
