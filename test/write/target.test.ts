import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { answer, bodyOf, serve } from '../../infra/local/serve.ts';
import type { HttpAnswer } from '../../lib/http/client.ts';
import { userAgent } from '../../lib/http/user-agent.ts';
import type { TargetJob } from '../../lib/job-types.ts';
import { openCredentials } from '../../lib/settings/secrets.ts';
import { openTarget } from '../../lib/write/target.ts';
import { job } from '../support/job.ts';
import { record, secretStoreOf } from '../support/pipeline.ts';

type Model = ReturnType<typeof record>;

const shipped = job.target as TargetJob<Model>;

/** The shipped job's target behind a server that answers with `handle`, and what arrived there. */
async function open(options: {
  handle?: (response: ServerResponse) => void;
  request?: TargetJob<Model>['write'];
  id?: (model: Model) => string;
  scope?: string;
  refused?: () => Promise<Error>;
}) {
  const { handle = (response) => answer(response, 200, {}), request: write = shipped.write, id = job.id } = options;
  await using stack = new AsyncDisposableStack();
  const arrivals: (Pick<IncomingMessage, 'method' | 'url' | 'headers'> & { body: string })[] = [];
  const served = stack.use(
    await serve(async (request, response) => {
      const { method, url, headers } = request;
      arrivals.push({ method, url, headers, body: await bodyOf(request) });
      handle(response);
    }),
  );
  const { signal } = new AbortController();
  const credentials = await openCredentials(secretStoreOf(1), signal);
  const guard = { check() {}, closing: signal, closesInMs: () => 60_000, signal };
  const fence = {
    ...{ token: '42', scope: options.scope ?? '/locks/a' },
    refused: options.refused ?? (async () => new Error('not expected')),
  };
  const limits = { timeoutMs: 60_000, concurrency: 50, perSecond: undefined };
  const server = { url: served.url, credentials, guard, agent: { service: 'shop', job: job.name }, ...limits };
  const { prepare } = stack.use(
    openTarget<Model>(
      { ...shipped, ...(write && { write }) },
      { id, passName: () => 'run-1', settings: { TARGET_REGION_ID: 'eu west/1' } },
      fence,
      server,
    ),
  );
  const owned = stack.move();
  return {
    write: (model: Model) => prepare(model).write!(),
    arrivals,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

test('A write is one request with the path as the job made it, the token, the fence and the record without its id.', async () => {
  await using target = await open({});
  await target.write(record('vendor/model 1', 'Größe'));
  const [arrival] = target.arrivals;
  assert.equal(target.arrivals.length, 1);
  assert.equal(arrival?.method, 'PUT');
  assert.equal(arrival?.url, '/v1/regions/eu%20west%2F1/models/vendor%2Fmodel%201');
  assert.equal(arrival?.headers.authorization, 'Bearer token-1');
  assert.equal(arrival?.headers['content-type'], 'application/json');
  assert.equal(arrival?.headers['x-fencing-token'], '42');
  assert.equal(arrival?.headers['x-fencing-scope'], '/locks/a');
  assert.match(String(arrival?.headers['idempotency-key']), /^run-1%3Avendor%2Fmodel%201%3A[0-9a-f]{16}$/);
  const { id: _, ...body } = record('vendor/model 1', 'Größe');
  assert.deepEqual(JSON.parse(arrival?.body ?? ''), body);
});

test('An id of any characters arrives unaltered.', async () => {
  await using target = await open({});
  const ids = [
    'a/b',
    'ü',
    'a b',
    '%2F',
    '..x',
    '...',
    '😀',
    '?q=1',
    '#x',
    'a\\b',
    'a+b',
    '\u0000',
    '\n',
    'ä'.repeat(256),
  ];
  for (const id of ids) await target.write(record(id));
  const arrived = target.arrivals.map(({ url }) => decodeURIComponent(String(url?.split('/models/')[1])));
  assert.deepEqual(arrived, ids);
  const keys = target.arrivals.map(({ headers }) => decodeURIComponent(String(headers['idempotency-key'])));
  for (const [index, id] of ids.entries()) assert.ok(keys[index]?.startsWith(`run-1:${id}:`));
});

test('The idempotency key is the same for the same content, and another for other content.', async () => {
  await using target = await open({});
  for (const name of ['old', 'old', 'new']) await target.write(record('a', name));
  const [first, second, third] = target.arrivals.map(({ headers }) => headers['idempotency-key']);
  assert.equal(first, second);
  assert.notEqual(first, third);
});

test('A lock key that no header can hold is sent URL-encoded.', async () => {
  await using target = await open({ scope: '/locks/größe 1' });
  await target.write(record('a'));
  assert.equal(target.arrivals[0]?.headers['x-fencing-scope'], '%2Flocks%2Fgr%C3%B6%C3%9Fe%201');
});

test('A status that is not 2xx fails the record; it counts as a refusal unless the target may be down.', async () => {
  for (const [status, refused] of [
    ...[[301, true] as const, [400, true] as const, [404, true] as const, [409, true] as const, [422, true] as const],
    ...[[501, true] as const, [505, true] as const],
    ...[408, 421, 423, 425, 429, 500, 502, 503, 504, 507, 509, 520, 530].map((status) => [status, false] as const),
  ]) {
    const handle = (response: ServerResponse) => answer(response, status, {}, { 'retry-after': '0' });
    await using target = await open({ handle });
    const message = `the target answered ${status}`;
    await assert.rejects(target.write(record('a')), { name: 'TargetError', message, status, refused });
  }
  const quota = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '0' };
  await using throttling = await open({ handle: (response) => answer(response, 403, {}, quota) });
  await assert.rejects(throttling.write(record('a')), { name: 'TargetError', status: 403, refused: false });
  assert.equal(throttling.arrivals.length, 5);
  await using created = await open({ handle: (response) => void response.writeHead(204).end() });
  await created.write(record('a'));
});

test('A record is written whatever the length of the answer, of which nothing is kept.', async () => {
  const lengths = [0, 1, 1_200_000, 100_000_000];
  for (const announced of [true, false]) {
    await using target = await open({
      handle(response) {
        const length = lengths[target.arrivals.length - 1]!;
        if (announced) response.setHeader('content-length', length);
        const pieces = function* () {
          for (let left = length; left > 0; left -= 1_000_000) yield Buffer.alloc(Math.min(left, 1_000_000));
        };
        Readable.from(pieces()).pipe(response);
      },
    });
    const answers = [];
    for (const id of ['a', 'b', 'c', 'd']) answers.push((await target.write(record(id))) as HttpAnswer);
    assert.deepEqual(
      answers.map(({ status, body }) => [status, body.length]),
      lengths.map(() => [200, 0]),
    );
    assert.equal(target.arrivals.length, 4);
  }
});

test('A write says what it takes, that its answer should not be packed, and who sends it.', async () => {
  await using target = await open({});
  await target.write(record('a'));
  const headers = target.arrivals[0]?.headers;
  assert.deepEqual(
    [headers?.accept, headers?.['accept-encoding'], headers?.['user-agent']],
    ['application/json', 'identity', userAgent({ service: 'shop', job: 'models' })],
  );
});

test('A redirect is not followed: the record has failed.', async () => {
  const handle = (response: ServerResponse) => void response.writeHead(307, { location: '/elsewhere' }).end();
  await using target = await open({ handle });
  await assert.rejects(target.write(record('a')), { name: 'TargetError', message: 'the target answered 307' });
  assert.equal(target.arrivals.length, 1);
});

test('A record is written only when the whole answer was read: if it always breaks off, the record has failed.', async () => {
  const handle = (response: ServerResponse) => {
    response.writeHead(200, { 'content-length': 10 }).write('{"a"', () => response.destroy());
  };
  await using target = await open({ handle });
  await assert.rejects(target.write(record('a')), { name: 'TargetError', refused: false });
  assert.equal(target.arrivals.length, 5);
});

test('A refusal is a refusal, even if the body of that answer breaks off.', async () => {
  const half = (status: number) => (response: ServerResponse) => {
    response.writeHead(status, { 'content-length': '100' }).write('half', () => response.destroy());
  };
  await using refusing = await open({ handle: half(422) });
  await assert.rejects(refusing.write(record('a')), { name: 'TargetError', status: 422, refused: true });
  assert.equal(refusing.arrivals.length, 1);
  const refused = async () => Object.assign(new Error('a later run'), { name: 'SupersededError' });
  await using fenced = await open({ handle: half(412), refused });
  await assert.rejects(fenced.write(record('a')), { name: 'SupersededError' });
  const handle = (response: ServerResponse) => response.writeHead(503, { 'retry-after': '0' }).end('x'.repeat(2000));
  await using down = await open({ handle });
  await assert.rejects(down.write(record('a')), { name: 'TargetError', status: 503, refused: false });
  assert.equal(down.arrivals.length, 5);
});

test('A 412 fails with the fence’s own error and is not retried.', async () => {
  const refused = async () => Object.assign(new Error('a later run'), { name: 'SupersededError' });
  await using target = await open({ handle: (response) => answer(response, 412, {}), refused });
  await assert.rejects(target.write(record('a')), { name: 'SupersededError', message: 'a later run' });
  assert.equal(target.arrivals.length, 1);
});

test('A record that no request can be made of has failed, and the run continues.', async () => {
  const broken: Parameters<typeof open>[0][] = [
    {
      request: () => {
        throw new Error('no such field');
      },
    },
    { request: () => ({ method: 'PUT', path: '/x', body: 10n }) },
    { request: () => ({ method: 'PUT', path: '/a b', body: {} }) },
    { id: () => '\ud800', request: () => ({ method: 'PUT', path: '/x', body: {} }) },
  ];
  for (const options of broken) {
    await using target = await open(options);
    await assert.rejects(target.write(record('a')), { name: 'TargetError', refused: true });
    assert.equal(target.arrivals.length, 0);
  }
});

test('A job may delete: a request without a body has none.', async () => {
  await using target = await open({
    request: ({ id }) => ({ method: 'DELETE', path: `/models/${id}`, body: undefined }),
  });
  await target.write(record('a'));
  const [arrival] = target.arrivals;
  assert.deepEqual([arrival?.method, arrival?.url, arrival?.body], ['DELETE', '/models/a', '']);
});
