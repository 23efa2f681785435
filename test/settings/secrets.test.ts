import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { inspect } from 'node:util';
import { type LocalSecrets, startSecrets } from '../../infra/local/secrets.ts';
import { serve } from '../../infra/local/serve.ts';
import { openCredentials, secretStore } from '../../lib/settings/secrets.ts';
import { createAuthority } from '../support/certificates.ts';
import { job } from '../support/job.ts';
import { tokenOf } from '../support/pipeline.ts';

const ENDPOINT = 'AWS_ENDPOINT_URL_SECRETS_MANAGER';
const never = new AbortController().signal;

/** A valid secret whose values a search can find. */
const secretOf = (token: string) => ({
  source: { username: 'hunter2-user', password: 'hunter2-password' },
  target: { token },
  etcd: { username: 'hunter2-etcd', password: 'hunter2-etcd-password' },
});

let secrets: LocalSecrets;
const environment = { ...process.env };

before(async () => {
  secrets = await startSecrets();
  Object.assign(process.env, { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local' });
});
beforeEach(() => {
  process.env[ENDPOINT] = secrets.url;
});
after(async () => {
  process.env = environment;
  await secrets[Symbol.asyncDispose]();
});

/** Counts the requests to the endpoint while `work` runs. */
async function readsOf(work: () => Promise<unknown>) {
  const before = secrets.reads;
  await work();
  return secrets.reads - before;
}

/** Reads the secret `id` with a client of its own and returns the message, after checking that nothing of the error leaks. */
async function failureOf(id: string) {
  const error = await secretStore(id, job)
    .read(never)
    .then(
      () => assert.fail('the secret should be refused'),
      (error: Error) => error,
    );
  assert.equal(error.name, 'SecretError');
  assert.match(error.message, new RegExp(`^secret ${id} `));
  const all = inspect(error, { depth: 20, showHidden: false });
  assert.doesNotMatch(all, /hunter2/);
  return error.message;
}

test('The secret is read at its first use and then kept.', async () => {
  secrets.put('cached', secretOf('one'));
  const store = secretStore('cached', job);
  const reads = await readsOf(async () => {
    for (let times = 0; times < 3; times++) assert.equal(tokenOf((await store.read(never)).secret), 'one');
  });
  assert.equal(reads, 1);
});

test('The secret is read again once it is five minutes old.', async (t) => {
  secrets.put('aged', secretOf('one'));
  const store = secretStore('aged', job);
  await store.read(never);
  secrets.put('aged', secretOf('two'));
  const nowMs = performance.now();
  const clock = t.mock.method(performance, 'now', () => nowMs + 299_000);
  assert.equal(tokenOf((await store.read(never)).secret), 'one');
  clock.mock.mockImplementation(() => nowMs + 301_000);
  assert.equal(tokenOf((await store.read(never)).secret), 'two');
});

test('A secret without its etcd part is complete.', async () => {
  const { etcd: _, ...rest } = secretOf('one');
  secrets.put('plain', rest);
  assert.deepEqual((await secretStore('plain', job).read(never)).secret.etcd, {});
});

test('Refused credentials are renewed by one read for all waiting requests, and by none for later ones.', async () => {
  secrets.put('rotated', secretOf('one'));
  const credentials = await openCredentials(secretStore('rotated', job), never);
  const old = credentials.current();
  secrets.put('rotated', secretOf('two'));
  const reads = await readsOf(async () => {
    const renewed = await Promise.all(Array.from({ length: 20 }, () => credentials.renew(old, never)));
    for (const secret of renewed) assert.equal(tokenOf(secret), 'two');
    assert.equal(tokenOf(await credentials.renew(old, never)), 'two');
  });
  assert.equal(reads, 1);
  assert.equal(tokenOf(credentials.current()), 'two');
});

test('Credentials that are refused again after the renewal end the run, without another read.', async () => {
  secrets.put('twice', secretOf('one'));
  const credentials = await openCredentials(secretStore('twice', job), never);
  secrets.put('twice', secretOf('two'));
  const renewed = await credentials.renew(credentials.current(), never);
  secrets.put('twice', secretOf('three'));
  const reads = await readsOf(() =>
    assert.rejects(credentials.renew(renewed, never), { name: 'CredentialsError', code: 'CREDENTIALS' }),
  );
  assert.equal(reads, 0);
});

test('Refused credentials without a newer version end the run, for all waiting requests.', async () => {
  secrets.put('same', secretOf('one'));
  const credentials = await openCredentials(secretStore('same', job), never);
  const renewal = () => credentials.renew(credentials.current(), never, new Error('the target answered 401'));
  const reads = await readsOf(async () => {
    for (const outcome of await Promise.allSettled([renewal(), renewal(), renewal()])) {
      assert.equal(outcome.status, 'rejected');
      assert.equal(outcome.reason.name, 'CredentialsError');
      assert.match(outcome.reason.message, /the target answered 401.*the secret has no newer version/);
    }
  });
  assert.equal(reads, 1);
});

test('A secret that does not exist is an error that names it and says so.', async () => {
  assert.match(await failureOf('absent'), /could not be read: ResourceNotFoundException/);
});

test('A secret that is not JSON, or not of the documented shape, is refused without quoting its content.', async () => {
  const { source, target, etcd } = secretOf('hunter2-token');
  for (const [value, fault] of [
    ['hunter2 {', /is not JSON text$/],
    ['', /is not JSON text$/],
    ['"hunter2"', /is not of the documented shape: the value must be/],
    [[source], /is not of the documented shape: /],
    [{ source }, /: target is missing$/],
    [{ source, target: 'hunter2' }, /: target: Invalid type: Expected Object$/],
    [{ source, target: { token: 2 } }, /: target\.token: Invalid type: Expected string$/],
    [{ source, target: { token: '' } }, /: target\.token: must not be empty; /],
    [{ source, target: { token: 'hunter2\n' } }, /: target\.token: must be ASCII without blanks and line breaks$/],
    [{ source, target, region: 'hunter2' }, /: region: Invalid key: Expected never$/],
    [{ source, target: { ...target, user: 'hunter2' } }, /: target\.user: Invalid key: Expected never$/],
    [{ source, target, etcd: { username: etcd.username } }, /: etcd username and password come together$/],
    [{ source, target, etcd: { cert: 'hunter2' } }, /: etcd cert and key come together$/],
    [{ source: { username: 'hunter2' }, target: {} }, /source\.password.*; .*target\.token/],
  ] as const) {
    secrets.put('shape', value);
    assert.match(await failureOf('shape'), fault, JSON.stringify(value));
  }
});

test('Certificates for source and target are optional, each part by itself.', async () => {
  const authority = createAuthority('a company');
  const { cert, key } = authority.issue('solotick');
  const ca = `a comment\n${authority.cert}\n${createAuthority('another one').cert}`;
  for (const tls of [{}, { source: {} }, { source: { ca } }, { source: { ca, cert, key }, target: { cert, key } }]) {
    secrets.put('tls', { ...secretOf('one'), tls });
    assert.deepEqual((await secretStore('tls', job).read(never)).secret.tls, tls);
  }
});

test('Certificates and keys that cannot be used are refused by the name of their field, without quoting them.', async () => {
  const authority = createAuthority('hunter2 authority');
  const { cert, key } = authority.issue('hunter2');
  const other = authority.issue('hunter2-other');
  const cut = authority.cert.slice(0, 200);
  const weak = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const locked = weak.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'hunter2' });
  for (const [tls, fault] of [
    [{ source: { ca: 'hunter2' } }, /: tls\.source\.ca cannot be read as certificates in PEM$/],
    [{ target: { ca: `${authority.cert}${cut}` } }, /: tls\.target\.ca cannot be read as certificates in PEM$/],
    [{ source: { cert: cut, key } }, /: tls\.source\.cert cannot be read as certificates in PEM$/],
    [
      { source: { cert, key: cert } },
      /: tls\.source\.key cannot be read as a private key in PEM without a passphrase$/,
    ],
    [
      { target: { cert, key: locked } },
      /: tls\.target\.key cannot be read as a private key in PEM without a passphrase$/,
    ],
    [{ target: { cert, key: other.key } }, /: tls\.target cert and key cannot be used together$/],
    [{ source: { cert } }, /: tls\.source cert and key come together$/],
    [{ target: { ca: authority.cert, key } }, /: tls\.target cert and key come together$/],
    [{ source: { ca: '' } }, /: tls\.source\.ca must not be empty$/],
    [{ etcd: { ca: 'hunter2' } }, /: unknown key tls\.etcd$/],
    [{ source: { pfx: 'hunter2' } }, /: unknown key tls\.source\.pfx$/],
    ['hunter2', /: tls must be Object$/],
  ] as const) {
    secrets.put('tls', { ...secretOf('one'), tls });
    assert.match(await failureOf('tls'), fault);
  }
});

test('An answer that is cut off or garbled is an error that quotes nothing of it.', async () => {
  for (const body of ['{"SecretString":"hunter2', '{"SecretString": hunter2}', 'hunter2']) {
    await using server = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' }).end(body);
    });
    process.env[ENDPOINT] = server.url;
    assert.match(await failureOf('garbled'), /could not be read: no JSON came$/);
  }
});

test('An endpoint that accepts and never answers is an error.', { timeout: 60_000 }, async () => {
  const silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const sockets = new Set<{ destroy(): void }>();
  silent.on('connection', (socket) => sockets.add(socket));
  process.env[ENDPOINT] = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  assert.match(await failureOf('silent'), /could not be read: TimeoutError/);
  for (const socket of sockets) socket.destroy();
  silent.close();
});

test('An aborted read fails with the signal’s own reason.', async () => {
  const stop = new AbortController();
  const reading = secretStore('cached', job).read(stop.signal);
  stop.abort(new Error('the run is over'));
  await assert.rejects(reading, { message: 'the run is over' });
});
