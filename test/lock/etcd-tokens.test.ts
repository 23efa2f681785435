import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { promisify } from 'node:util';
import { LockServiceError } from '../../lib/errors.ts';
import { connectEtcd } from '../../lib/lock/etcd.ts';
import { BUDGET, failureOf } from '../support/locking.ts';

// Not a real etcd: only versions from 3.5.28 and 3.6.9 on check the token of a keep-alive, and they are not available
// everywhere. This one forgets its tokens whenever a test wants.

interface Call {
  metadata: { get(name: string): unknown[] };
  getDeadline(): Date | number;
  emit(event: 'error', error: object): void;
  on(event: 'data', listener: (request: { ID: string }) => void): void;
  write(answer: object): void;
  end(): void;
}
type Answer = (error: object | null, answer?: object) => void;

const etcd3 = createRequire(import.meta.url).resolve('etcd3');
const load = createRequire(etcd3);
const { loadPackageDefinition, Server, ServerCredentials } = load('@grpc/grpc-js');
const options = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };
const { etcdserverpb } = loadPackageDefinition(
  load('@grpc/proto-loader').loadSync(join(dirname(etcd3), '../proto/rpc.proto'), options),
);

const credentials = { username: 'user', password: 'password' };
const tokens = new Set<unknown>();
let given = 0;
let silent = false;
/** How long clients would wait for a token, as their requests say. */
let patienceMs: number[] = [];
let endpoint: string;
const server = new Server();

const refused = { code: 16, details: 'etcdserver: invalid auth token' };
const knows = ({ metadata }: Call) => tokens.has(metadata.get('token')[0]);
const checked = (answer: object) => (call: Call, reply: Answer) => (knows(call) ? reply(null, answer) : reply(refused));

before(async () => {
  server.addService(etcdserverpb.Auth.service, {
    Authenticate(call: Call, reply: Answer) {
      patienceMs.push(Number(call.getDeadline()) - Date.now());
      if (silent) return;
      const token = `token-${++given}`;
      tokens.add(token);
      reply(null, { token });
    },
  });
  server.addService(etcdserverpb.Lease.service, {
    LeaseGrant: checked({ ID: '1', TTL: '60' }),
    LeaseRevoke: checked({}),
    LeaseTimeToLive: checked({ ID: '1', TTL: '59' }),
    LeaseKeepAlive(call: Call) {
      call.on('data', ({ ID }) => {
        if (silent) call.end();
        else if (knows(call)) call.write({ ID, TTL: '60' });
        else call.emit('error', refused);
      });
    },
  });
  const bind = promisify<string, unknown, number>(server.bindAsync.bind(server));
  endpoint = `http://127.0.0.1:${await bind('127.0.0.1:0', ServerCredentials.createInsecure())}`;
});
after(() => server.forceShutdown());
beforeEach(() => {
  silent = false;
  patienceMs = [];
  tokens.clear();
});

test('A keep-alive whose token etcd has forgotten asks for a new one, as every other call does.', async () => {
  await using etcd = connectEtcd([endpoint], credentials);
  assert.equal(await etcd.grant('1', 60, BUDGET), 60);
  tokens.clear();
  assert.equal(await etcd.keepAlive('1', BUDGET), 60);
  tokens.clear();
  assert.equal(await etcd.timeToLive('1', BUDGET), 59);
  tokens.clear();
  assert.deepEqual(await Promise.all([etcd.keepAlive('1', BUDGET), etcd.keepAlive('1', BUDGET)]), [60, 60]);
});

test('To authenticate takes no longer than the call may take.', async () => {
  silent = true;
  await using etcd = connectEtcd([endpoint], credentials);
  const error = await failureOf(etcd.timeToLive('1', { attemptMs: 500, totalMs: 1200 }));
  assert.ok(error instanceof LockServiceError, error.stack);
  assert.ok(patienceMs.length > 0);
  for (const ms of patienceMs) assert.ok(ms <= 500, `the server may take ${ms} ms of an attempt of 500 ms`);
});

test('A keep-alive that is ended without an answer is asked again, and then given up.', async () => {
  await using etcd = connectEtcd([endpoint], credentials);
  await etcd.grant('1', 60, BUDGET);
  silent = true;
  const error = await failureOf(etcd.keepAlive('1', { attemptMs: 500, totalMs: 1000 }));
  assert.ok(error instanceof LockServiceError, error.stack);
  assert.match(error.message, /the stream ended without an answer/);
});
