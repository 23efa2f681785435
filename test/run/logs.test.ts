import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { type FunctionName, type LocalCloud, startCloud } from '../../infra/local/cloud.ts';
import { bodyOf, type Served, serve } from '../../infra/local/serve.ts';

/** Every secret and every part of a record's body contains this, so that a search finds each leak. */
const MARK = 'hunter2';
const SECRET = {
  source: { username: `${MARK}-user`, password: `${MARK}-password` },
  target: { token: `${MARK}-token` },
  etcd: { username: 'job', password: `${MARK}-etcd` },
};
const BASIC = Buffer.from(`${SECRET.source.username}:${SECRET.source.password}`).toString('base64');
const SECRET_ID = 'logs';
const ROOT = '--user=root:root-password';

const record = (index: number, name: unknown = `${MARK} ${index}`) => ({
  ...{ id: `model-${index}`, name, updatedAt: '2026-01-01T00:00:00Z', limit: { context: 1, output: 1 } },
  description: `${MARK}, which the schema drops`,
});

/** A proxy, unless the test sets an answer of its own. */
interface Front extends Served {
  upstream: string;
  instead: ((response: ServerResponse) => void) | undefined;
}

async function startFront(): Promise<Front> {
  const state = { upstream: '', instead: undefined as Front['instead'] };
  const served = await serve(async (request, response) => {
    if (state.instead) return state.instead(response);
    const { method = 'GET', headers, url } = request;
    const body = method === 'GET' ? null : await bodyOf(request);
    const { connection: _, host: __, ...kept } = headers as Record<string, string>;
    const answer = await fetch(state.upstream + url, { method, headers: kept, body });
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
  });
  return Object.assign(state, served);
}

/** Breaks the HTTP framing, so that no parser can continue. */
const garble = (response: ServerResponse) =>
  response.socket?.end(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n${MARK} Basic ${BASIC}\r\n`);

const output: string[] = [];
const owned = new AsyncDisposableStack();
let cloud: LocalCloud;
let source: Front;
let secrets: Front;

before(async () => {
  source = owned.use(await startFront());
  secrets = owned.use(await startFront());
  cloud = owned.use(
    await startCloud({
      stage: 'dev',
      env: {
        ...{ SECRET_ID, SOURCE_URL: source.url, AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url },
        ...{ AWS_SECRET_ACCESS_KEY: `${MARK}-key`, AWS_SESSION_TOKEN: `${MARK}-session`, FAILURES_BEFORE_STOP: '3' },
      },
      onLog: (_, line) => output.push(line),
    }),
  );
  source.upstream = cloud.source.url;
  secrets.upstream = cloud.secrets.url;
  await cloud.etcd.etcdctl(['user', 'add', 'root:root-password']);
  await cloud.etcd.etcdctl(['user', 'grant-role', 'root', 'root']);
  await cloud.etcd.etcdctl(['auth', 'enable']);
  await addEtcdUser(SECRET.etcd.password);
});
after(() => owned.disposeAsync());

async function addEtcdUser(password: string) {
  await cloud.etcd.etcdctl([ROOT, 'user', 'add', `job:${password}`]);
  await cloud.etcd.etcdctl([ROOT, 'user', 'grant-role', 'job', 'root']);
}

beforeEach(() => {
  output.length = 0;
  source.instead = undefined;
  secrets.instead = undefined;
  cloud.secrets.put(SECRET_ID, SECRET);
  Object.assign(cloud.source, { credentials: SECRET.source, records: Array.from({ length: 30 }, (_, i) => record(i)) });
  Object.assign(cloud.target, { token: SECRET.target.token, refuse: undefined });
});

afterEach(() => {
  assert.ok(output.length > 0, 'something was printed');
  for (const line of output) {
    assert.doesNotThrow(() => JSON.parse(line), line);
    for (const leak of [MARK, BASIC, 'Bearer ', 'Basic ']) assert.ok(!line.includes(leak), line);
  }
});

/** Invokes a function in a new execution environment or a warm one, and searches its answer as well. */
async function invoke(name: FunctionName, event: unknown = {}) {
  const { payload, error } = await cloud.functions[name].invoke(event);
  const answer = JSON.stringify({ payload, error });
  for (const leak of [MARK, BASIC]) assert.ok(!answer.includes(leak), answer);
  return { result: payload as { status?: string; report?: Record<string, number> } | undefined, error };
}

// This test comes first, because an execution environment that has read the secret keeps it.
test('A secret that is not JSON, of another shape or cut off is reported without its content.', async () => {
  const failure = async () => {
    const { error } = await invoke('backfill');
    assert.equal(error?.errorType, 'SecretError');
    return error?.errorMessage ?? '';
  };
  for (const secret of [MARK, { ...SECRET, target: MARK }, { ...SECRET, extra: MARK }, [MARK]]) {
    cloud.secrets.put(SECRET_ID, secret);
    assert.match(await failure(), /^secret logs is not/);
  }
  for (const body of [`{"SecretString": ${MARK}}`, `{"SecretString":"${MARK}`]) {
    secrets.instead = (response) => response.end(body);
    assert.match(await failure(), /no JSON came/);
  }
  for (const instead of [(response: ServerResponse) => response.writeHead(500).end(MARK), garble]) {
    secrets.instead = instead;
    assert.match(await failure(), /could not be read/);
  }
});

test('A run that completes logs no secret and no record’s body.', async () => {
  const { result } = await invoke('sync');
  assert.equal(result?.status, 'completed');
  assert.equal(cloud.target.models.size, 30);
});

test('Records that are invalid, refused or beyond all attempts are reported without their bodies.', async () => {
  cloud.source.records.push(
    record(31, { name: MARK }),
    record(32, ''),
    { ...record(33), updatedAt: `${MARK} o'clock` },
    { ...record(34), limit: { context: MARK, output: -1 } },
    { ...record(35), cost: MARK },
    [MARK],
    MARK,
    null,
  );
  cloud.target.refuse = (body) => {
    const { name } = body as { name: string };
    if (name === `${MARK} 3`) return 422;
    return name === `${MARK} 4` ? 500 : undefined;
  };
  // What it holds already would not be written again.
  cloud.target.models.clear();
  const { result } = await invoke('backfill');
  assert.partialDeepStrictEqual(result?.report, { invalid: 8, failed: 2 });
  assert.ok(output.some((line) => line.includes('a record was not written: invalid')));
});

test('A target that is down is reported without the bodies of the writes.', async () => {
  cloud.target.models.clear();
  cloud.target.refuse = () => 500;
  assert.equal((await invoke('backfill')).error?.errorType, 'TargetDownError');
});

test('Refused credentials are reported without their values.', async () => {
  cloud.source.credentials = { username: 'a', password: 'b' };
  assert.equal((await invoke('backfill')).error?.errorType, 'CredentialsError');
  cloud.source.credentials = SECRET.source;
  cloud.target.token = 'another';
  assert.equal((await invoke('backfill')).error?.errorType, 'CredentialsError');
});

test('A rotated token that cannot be sent is reported without its value.', async () => {
  cloud.secrets.put(SECRET_ID, { ...SECRET, target: { token: `${MARK}-token\n` } });
  cloud.target.token = 'another';
  assert.equal((await invoke('backfill')).error?.errorType, 'SecretError');
});

for (const [what, instead] of [
  ['a page of HTML', (response: ServerResponse) => response.end(`<html>${MARK}`)],
  ['broken JSON', (response: ServerResponse) => response.end(`{"models":[{"name": ${MARK}}]}`)],
  [
    'JSON of another shape',
    (response: ServerResponse) => response.end(`{"models":{"name":"${MARK}"},"nextCursor":null}`),
  ],
  ['a refusal', (response: ServerResponse) => response.writeHead(403).end(MARK)],
  ['what is not HTTP', garble],
  [
    'half a body',
    (response: ServerResponse) => {
      response
        .writeHead(200, { 'content-length': '1000' })
        .write(`{"models":[{"name":"${MARK}"`, () => response.destroy());
    },
  ],
] as const) {
  test(`A source that answers ${what} is reported without its answer.`, async () => {
    source.instead = instead;
    assert.equal((await invoke('backfill')).error?.errorType, 'SourceError');
  });
}

test('Credentials that etcd refuses are reported without their values.', async () => {
  await cloud.etcd.etcdctl([ROOT, 'user', 'delete', 'job']);
  await addEtcdUser('another');
  // A restart makes etcd forget the tokens that it has issued.
  await cloud.etcd.nodes[0]!.restart();
  assert.equal((await invoke('backfill')).error?.errorType, 'CredentialsError');
  assert.equal((await invoke('control', { action: 'status' })).error?.errorType, 'CredentialsError');
});

test('An etcd that is down is reported without the requests to it.', async () => {
  await cloud.etcd.nodes[0]!.kill();
  assert.equal((await invoke('sync')).error?.errorType, 'LockServiceError');
});
