import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { test } from 'node:test';
import { answer, serve } from '../../infra/local/serve.ts';
import { bearer } from '../../lib/http/auth.ts';
import type { List, TargetJob } from '../../lib/job-types.ts';
import { cursorPages } from '../../lib/read/cursor-pages.ts';
import { linkPages } from '../../lib/read/link-pages.ts';
import { openTargetList } from '../../lib/read/target-list.ts';
import { urlPages } from '../../lib/read/url-pages.ts';
import { openCredentials } from '../../lib/settings/secrets.ts';
import type { Shard } from '../../lib/shard.ts';
import { type OwnSecret, secretStoreOf } from '../support/pipeline.ts';

const cursors = cursorPages({
  path: '/items',
  query: ({ shard }) => ({ shard: shard?.index }),
  records: 'items',
  next: 'next',
});

/** A target that is listed by `list` and answers with `handle`. */
async function open(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  { list = cursors, ...job }: Partial<TargetJob<unknown>> & { list?: List } = {},
) {
  await using stack = new AsyncDisposableStack();
  const requests: IncomingMessage[] = [];
  const server = stack.use(
    await serve((request, response) => {
      requests.push(request);
      handle(request, response);
    }),
  );
  const { signal } = new AbortController();
  const guard = { check() {}, closing: signal, closesInMs: () => 60_000, signal };
  const credentials = await openCredentials(secretStoreOf(1, 2), signal);
  const auth: TargetJob<unknown>['auth'] = ({ secret }) => bearer((secret as OwnSecret).target.token);
  const opened = stack.use(
    openTargetList(
      { auth, headers: { 'X-Tenant': '7' }, list, ...job },
      { url: `${server.url}/api`, timeoutMs: 60_000, credentials, guard, settings: {} },
    ),
  );
  const owned = stack.move();
  return {
    requests,
    readAll: (shard?: Shard) => Array.fromAsync(opened.pages({ shard }, null)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

test('The target is listed page by page, with its own credentials and headers, and is told the shard.', async () => {
  const next: Record<string, string> = { '/api/items?shard=1': 'b', '/api/items?shard=1&cursor=b': '' };
  await using target = await open(({ url = '' }, response) => {
    answer(response, 200, { items: [url], next: next[url] });
  });
  const pages = await target.readAll({ index: 1, of: 2 });
  assert.deepEqual(pages, [
    { records: ['/api/items?shard=1'], cursor: 'b' },
    { records: ['/api/items?shard=1&cursor=b'], cursor: null },
  ]);
  for (const { headers } of target.requests) {
    assert.deepEqual([headers.authorization, headers['x-tenant']], ['Bearer token-1', '7']);
  }
});

test('A 401 renews the credentials, as everywhere.', async () => {
  await using target = await open(({ headers }, response) => {
    if (headers.authorization === 'Bearer token-2') answer(response, 200, { items: [1] });
    else answer(response, 401, {});
  });
  assert.deepEqual(await target.readAll(), [{ records: [1], cursor: null }]);
});

const faults: [what: string, message: RegExp, body: unknown, headers?: Record<string, string>, list?: List][] = [
  ['a page without records', /^the page at \/items has no array "items"$/, {}],
  ['a cursor that comes again', /^the target gave a cursor that it had given before/, { items: [], next: 'a' }],
  ['a cursor of no end', /^the target gave a cursor of 70000 /, { items: [], next: 'x'.repeat(70_000) }],
  [
    'a next page elsewhere',
    /^the next page that \/items names is not below the target's URL \(http:\/\/other\)$/,
    { items: [], next: 'http://other/items' },
    {},
    urlPages({ path: '/items', records: 'items', next: 'next' }),
  ],
  [
    'a header that cannot be read',
    /^the page at \/items has a malformed Link header \(at character 1\)$/,
    [],
    { link: '</items' },
    linkPages({ path: '/items' }),
  ],
];
for (const [what, message, body, headers, list] of faults) {
  test(`What is wrong with a list of the target is a SourceError that does not speak of the source: ${what}.`, async () => {
    await using target = await open((_, response) => answer(response, 200, body, headers), list && { list });
    await assert.rejects(target.readAll(), { name: 'SourceError', message });
  });
}

test('An answer that is no page is a SourceError that names the request and the target.', async () => {
  await using target = await open((_, response) => answer(response, 403, { message: 'no' }));
  await assert.rejects(target.readAll(), {
    ...{ name: 'SourceError', status: 403 },
    message: 'GET /items at the target was answered with 403: {"message":"no"}',
  });
  await using broken = await open((_, response) => response.destroy());
  await assert.rejects(broken.readAll(), { name: 'SourceError', message: /^GET \/items at the target: / });
  assert.equal(broken.requests.length, 5);
});

test('A list of one’s own that gives no page is called by its name.', async () => {
  const list = async function* () {
    yield { records: 7 as never, cursor: null };
  };
  await using target = await open(() => {}, { list });
  await assert.rejects(target.readAll(), {
    name: 'SourceError',
    message: 'target.list of the job gave a page whose records are no array',
  });
});

test('The check of the target speaks of pages too: what it calls written counts by its status, and fenced is refused.', async () => {
  const page = (_: IncomingMessage, response: ServerResponse) => answer(response, 200, { items: [1] });
  await using written = await open(page, { check: () => 'written' });
  assert.deepEqual(await written.readAll(), [{ records: [1], cursor: null }]);
  const notThere = (_: IncomingMessage, response: ServerResponse) => answer(response, 404, {});
  await using missing = await open(notThere, { check: () => 'written' });
  await assert.rejects(missing.readAll(), { name: 'SourceError', status: 404 });
  for (const verdict of ['refused', 'fenced'] as const) {
    await using refused = await open(page, { check: () => verdict });
    await assert.rejects(refused.readAll(), {
      name: 'SourceError',
      message: /\(the check of the job says: refused\)$/,
    });
    assert.equal(refused.requests.length, 1);
  }
  let times = 2;
  await using retried = await open(page, { check: () => (times-- > 0 ? 'retry' : undefined) });
  assert.deepEqual([await retried.readAll(), retried.requests.length], [[{ records: [1], cursor: null }], 3]);
});

test('The secret of the target is not sent in the clear, as it is not with its writes.', async () => {
  const { signal } = new AbortController();
  const guard = { check() {}, closing: signal, closesInMs: () => 60_000, signal };
  const credentials = { current: () => ({ own: {}, tls: { target: { ca: 'x' } } }), renew: () => Promise.reject() };
  const server = { url: 'http://target.example', timeoutMs: 1000, credentials, guard };
  assert.throws(() => openTargetList({ list: cursors }, server), {
    ...{ name: 'SettingsError', message: /^TARGET_URL must be an https URL/ },
  });
});
