import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import { TargetError } from '../../lib/errors.ts';
import { userAgent } from '../../lib/http/user-agent.ts';
import {
  contentOfRecord,
  numbered,
  placeOf,
  requestMaker,
  withMethod,
  writeOf,
} from '../../lib/write/write-request.ts';

type Item = { id: string; at?: number };

const maker = (options: { passName?: string; scope?: string; updatedAtMs?: (item: Item) => number } = {}) =>
  requestMaker<Item>({
    passName: () => options.passName ?? 'run-1',
    id: ({ id }) => id,
    updatedAtMs: options.updatedAtMs,
    fence: { token: '42', scope: options.scope ?? '/locks/a' },
  });
const put = (body: unknown, path = '/items/a') => ({ method: 'PUT', path, body }) as const;

test('A request has the method, the path and the body that the job gave, the fence, and an idempotency key.', () => {
  const body = { name: 'Größe' };
  const digest = hash('sha256', JSON.stringify(body)).slice(0, 16);
  assert.deepEqual(
    maker()({ id: 'a/b' }, () => put(body)),
    {
      content: digest,
      request: {
        ...{ method: 'PUT', path: '/items/a', body: JSON.stringify(body), record: { id: 'a/b' } },
        headers: {
          accept: 'application/json',
          'accept-encoding': 'identity',
          'user-agent': userAgent(),
          'content-type': 'application/json',
          'x-fencing-token': '42',
          'x-fencing-scope': '/locks/a',
          'idempotency-key': `run-1%3Aa%2Fb%3A${digest}`,
        },
      },
    },
  );
});

test('A request without a body has none, and a key all the same.', () => {
  const { body, headers } = maker()({ id: 'a' }, () => put(undefined)).request;
  assert.equal(body, undefined);
  assert.equal(headers['idempotency-key'], `run-1%3Aa%3A${hash('sha256', 'PUT /items/a\n').slice(0, 16)}`);
});

test('The key changes with the pass, the record, the content, and what makes it another request of the record.', () => {
  const keyOf = (id: string, body: unknown, keyed?: string, passName?: string) =>
    maker(passName === undefined ? {} : { passName })({ id }, () => put(body), keyed).request.headers[
      'idempotency-key'
    ];
  const key = keyOf('a', 1);
  assert.equal(keyOf('a', 1), key);
  const others = [keyOf('a', 1, undefined, 'run-2'), keyOf('b', 1), keyOf('a', 2), keyOf('a', 1, 'PUT /x\n')];
  assert.equal(new Set([key, ...others]).size, 5);
  assert.notEqual(keyOf('a', 1, 'PUT /x\n'), keyOf('a', 1, 'PUT /y\n'));
});

test('Where a record has a time, that is in its key, so that a version that comes back has another one.', () => {
  const make = maker({ updatedAtMs: ({ at }) => at ?? Number.NaN });
  const keyOf = (at: number) => make({ id: 'a', at }, () => put(1)).request.headers['idempotency-key'];
  const content = maker()({ id: 'a' }, () => put(1)).content;
  assert.equal(decodeURIComponent(keyOf(7) ?? ''), `run-1:a:${content}:7`);
  assert.notEqual(keyOf(7), keyOf(8));
  assert.equal(make({ id: 'a', at: 7 }, () => put(1)).content, content);
});

test('The number of changes is in the key where there are any.', () => {
  const keyOf = (changes: number) =>
    numbered(maker()({ id: 'a' }, () => put(1)).request, changes).headers['idempotency-key'] ?? '';
  const key = maker()({ id: 'a' }, () => put(1)).request.headers['idempotency-key'];
  assert.equal(keyOf(0), key);
  assert.equal(decodeURIComponent(keyOf(2)), `${decodeURIComponent(key ?? '')}:2`);
});

test('A scope that a header can hold is sent as it is, and another one URL-encoded.', () => {
  const scopeOf = (scope: string) => maker({ scope })({ id: 'a' }, () => put(1)).request.headers['x-fencing-scope'];
  for (const scope of ['/locks/a', '!~', '%2F']) assert.equal(scopeOf(scope), scope);
  for (const scope of ['/größe', 'a b', ' a', 'a ', 'a\n', '\u007f', ''])
    assert.equal(scopeOf(scope), encodeURIComponent(scope));
});

test('Where the job throws, or gives what is no JSON, the record is refused, and the cause is kept.', () => {
  const cause = new RangeError('x');
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  for (const make of [
    () => {
      throw cause;
    },
    () => put(circular),
    () => put(1n),
  ]) {
    assert.throws(
      () => maker()({ id: 'a' }, make),
      (error) => {
        assert.ok(error instanceof TargetError);
        assert.equal(error.message, 'the job could not make a request of the record');
        assert.deepEqual([error.refused, error.status], [true, undefined]);
        assert.ok(error.cause instanceof Error);
        return true;
      },
    );
  }
});

test('The content is the hash within the key, so it changes with the body and never with the run or the record.', () => {
  const contentOf = (id: string, body: unknown, passName = 'run-1') =>
    maker({ passName })({ id }, () => put(body)).content;
  const content = contentOf('a', { n: 1 });
  assert.match(content, /^[0-9a-f]{16}$/);
  assert.equal(contentOf('b', { n: 1 }, 'run-2'), content);
  assert.notEqual(contentOf('a', { n: 2 }), content);
});

const hashOf = (data: string | Uint8Array) => hash('sha256', data).slice(0, 16);

test('The headers of a job replace ours, whatever their case, but not the fence and the key.', () => {
  const agent = { service: 'sync', job: 'items' };
  const { headers } = requestMaker<Item>({
    ...{ passName: () => 'run-1', id: ({ id }) => id, fence: { token: '42', scope: '/locks/a' }, agent },
    headers: { Accept: 'text/plain', 'X-Fencing-Token': '43' },
  })({ id: 'a' }, () => ({ ...put(1), headers: { 'X-Fencing-Scope': 'mine', 'Idempotency-Key': 'mine' } })).request;
  assert.deepEqual(headers, {
    ...{ accept: 'text/plain', 'accept-encoding': 'identity', 'user-agent': userAgent(agent) },
    ...{ 'content-type': 'application/json', 'x-fencing-token': '42', 'x-fencing-scope': '/locks/a' },
    'idempotency-key': `run-1%3Aa%3A${hashOf('1')}`,
  });
});

test('The content is that of the bytes on the wire, and of what stands in a query.', () => {
  const contentOf = (request: object, keyed?: string) =>
    maker()({ id: 'a' }, () => ({ method: 'PUT', path: '/p', ...request }), keyed).content;
  assert.equal(contentOf({ body: 'text' }), hashOf('text'));
  assert.equal(contentOf({ body: Uint8Array.of(0xff, 1) }), hashOf(Uint8Array.of(0xff, 1)));
  assert.equal(contentOf({ query: { a: 1 } }), hashOf('PUT /p?a=1\n'));
  assert.equal(contentOf({ query: { a: 1 }, body: 'text' }), hashOf('PUT /p?a=1\ntext'));
  const bytes = Uint8Array.of(0xff, 1);
  assert.equal(
    contentOf({ query: { a: 1 }, body: bytes }),
    hashOf(Buffer.concat([Buffer.from('PUT /p?a=1\n'), bytes])),
  );
  assert.equal(contentOf({ query: { a: 1 }, body: 'text' }, 'PUT /x\n'), hashOf('PUT /x\ntext'));
  assert.equal(placeOf({ method: 'PUT', path: '/p', query: { a: 1 } }), 'PUT /p?a=1\n');
  assert.equal(placeOf({ method: 'PUT', path: '/p' }), 'PUT /p\n');
});

test('A record without a time has a key by its content.', () => {
  const make = requestMaker<Item>({
    ...{ passName: () => 'run-1', id: ({ id }) => id, updatedAtMs: ({ at }) => at, fence: { token: '1', scope: 's' } },
  });
  const { content, request } = make({ id: 'a' }, () => put(1));
  assert.equal(request.headers['idempotency-key'], `run-1%3Aa%3A${content}`);
});

test('A record is known by its JSON, with bigints as their digits; what is no JSON at all is always the same.', () => {
  assert.equal(contentOfRecord({ a: 1, b: 'x' }), hashOf('{"a":1,"b":"x"}'));
  assert.equal(contentOfRecord({ a: 10n, b: [1, true] }), hashOf('{"a":"10n","b":[1,true]}'));
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  assert.equal(contentOfRecord(circular), '0');
});

test('The write of a job gets its record and the context, and what has no method is refused by the name of its function.', () => {
  const context = { settings: { region: 'eu' }, secret: undefined } as never;
  const write = (record: Item, given: unknown) => put([record, given]);
  assert.deepEqual(writeOf({ write } as never, { id: 'a' }, context), put([{ id: 'a' }, context]));
  const bare = { path: '/p' };
  assert.throws(() => writeOf({} as never, {}, context), new TypeError('the job has no target.write'));
  assert.throws(
    () => writeOf({ write: () => bare } as never, {}, context),
    new TypeError('target.write of the job gave a request without a method'),
  );
  assert.throws(() => withMethod('x', bare as never), new TypeError('x of the job gave a request without a method'));
});
