import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { answer, bodyOf } from '../../infra/local/serve.ts';
import { type CursorPages, cursorPages } from '../../lib/read/cursor-pages.ts';
import { openListed } from '../support/listed-source.ts';

interface Sent {
  body: unknown;
  headers?: Record<string, string>;
}

/** A source that answers with these pages, one after the other, and what it was asked. */
async function open(options: Omit<CursorPages, 'path'>, pages: (unknown | Sent)[]) {
  const bodies: string[] = [];
  const list = cursorPages({ path: '/items', ...options });
  const source = await openListed(list, async (request: IncomingMessage, response) => {
    bodies.push(await bodyOf(request));
    const page = pages[bodies.length - 1];
    const { body, headers } = (Object(page).body ? page : { body: page }) as Sent;
    answer(response, 200, body, headers);
  });
  return { ...source, bodies, urls: () => source.requests.map(({ url }) => url) };
}

const items = { records: 'items', next: 'next' };

test('The cursor goes into the parameter that the job names, beside those of the window.', async () => {
  const query = ({ since }: { since?: string | undefined }) => ({ since, size: 2 });
  await using source = await open({ ...items, query, param: 'starting_after' }, [
    { items: [1], next: 'a b' },
    { items: [2], next: null },
  ]);
  const pages = await source.readAll(null, { since: '2026-01-01T00:00:00.000Z' });
  assert.deepEqual(
    pages.map(({ cursor }) => cursor),
    ['a b', null],
  );
  const window = '/items?since=2026-01-01T00%3A00%3A00.000Z&size=2';
  assert.deepEqual(source.urls(), [window, `${window}&starting_after=a%20b`]);
});

test('A cursor that is missing, null, empty or false ends the list.', async () => {
  for (const end of [{}, { next: null }, { next: '' }, { next: false }]) {
    await using source = await open(items, [{ items: [1], ...end }]);
    assert.deepEqual(await source.readAll(), [{ records: [1], cursor: null }]);
  }
});

test('A page without records that has a cursor does not end the list.', async () => {
  await using source = await open(items, [{ items: [], next: 'b' }, { items: [1] }]);
  assert.deepEqual(await source.readAll(), [
    { records: [], cursor: 'b' },
    { records: [1], cursor: null },
  ]);
});

test('A cursor may be a number, also 0 and one of many digits, and is text from then on.', async () => {
  const body = '{"items":[2],"next":9007199254740993}';
  const list = cursorPages({ path: '/items', ...items });
  let asked = 0;
  await using source = await openListed(list, (_, response) => {
    const pages = ['{"items":[1],"next":0}', body, '{"items":[3]}'];
    response.writeHead(200, { 'content-type': 'application/json' }).end(pages[asked++]);
  });
  assert.deepEqual(
    (await source.readAll()).map(({ cursor }) => cursor),
    ['0', '9007199254740993', null],
  );
  assert.equal(source.requests[2]?.url, '/items?cursor=9007199254740993');
});

test('Records and cursor may lie deeper in the page, in keys with dots, or where a function finds them.', async () => {
  const page = { data: { items: [1] }, paging: { next: { after: 'x' } }, '@meta.more': { 'a.b': false } };
  for (const options of [
    { records: 'data.items', next: 'paging.next.after' },
    { records: ({ data }: typeof page) => data.items, next: ({ paging }: typeof page) => paging.next.after },
  ] as Omit<CursorPages, 'path'>[]) {
    await using source = await open(options, [page, { data: { items: [2] } }]);
    const last = source.readAll();
    if (typeof options.next === 'function') await assert.rejects(last, /next of the job threw TypeError at the page/);
    else
      assert.deepEqual(
        (await last).flatMap(({ records }) => records),
        [1, 2],
      );
  }
  await using source = await open({ records: 'data.items', next: 'x', more: '@meta.more.a.b' }, [page]);
  assert.equal((await source.readAll()).length, 1);
});

test('The cursor may come in a header.', async () => {
  const options: Omit<CursorPages, 'path'> = { records: 'items', next: (_, headers) => headers['x-next']?.toString() };
  await using source = await open(options, [
    { body: { items: [1] }, headers: { 'x-next': 'p2' } },
    { body: { items: [2] } },
  ]);
  assert.deepEqual(
    (await source.readAll()).map(({ cursor }) => cursor),
    ['p2', null],
  );
});

test('Where a page says whether there are more, its cursor counts only then.', async () => {
  const options = { records: 'nodes', next: 'pageInfo.endCursor', more: 'pageInfo.hasNextPage' };
  const page = (n: number, hasNextPage: boolean) => ({ nodes: [n], pageInfo: { endCursor: `c${n}`, hasNextPage } });
  await using source = await open(options, [page(1, true), page(2, false)]);
  assert.equal((await source.readAll()).length, 2);
  await using broken = await open(options, [{ nodes: [1], pageInfo: { hasNextPage: true } }]);
  await assert.rejects(broken.readAll(), {
    name: 'SourceError',
    message: 'the page at /items says that there are more, but has no cursor',
  });
});

test('A body takes the cursor instead of a parameter, and makes the request a POST.', async () => {
  const body = (after: string | null, { since }: { since?: string | undefined }) => ({ query: 'q', after, since });
  await using source = await open({ ...items, body, headers: { 'X-Version': '3' } }, [
    { items: [1], next: 'b' },
    { items: [2] },
  ]);
  await source.readAll(null, { since: '2026-01-01T00:00:00.000Z' });
  assert.deepEqual(
    source.bodies.map((text) => JSON.parse(text).after),
    [null, 'b'],
  );
  for (const { method, url, headers } of source.requests) {
    assert.deepEqual([method, url, headers['x-version']], ['POST', '/items', '3']);
    assert.equal(headers['content-type'], 'application/json');
  }
});

test('A body may be a form, text or bytes.', async () => {
  for (const [made, type, sent] of [
    [new URLSearchParams({ a: 'b c' }), 'application/x-www-form-urlencoded;charset=UTF-8', 'a=b+c'],
    ['<q/>', 'text/plain;charset=UTF-8', '<q/>'],
    [Buffer.from('bytes'), 'application/octet-stream', 'bytes'],
  ] as const) {
    await using source = await open({ ...items, body: () => made }, [{ items: [] }]);
    await source.readAll();
    assert.deepEqual([source.bodies[0], source.requests[0]?.headers['content-type']], [sent, type]);
  }
});

test('A cursor that comes again is a SourceError at once, the one that a run began with included.', async () => {
  await using source = await open(items, [
    { items: [1], next: 'a' },
    { items: [1], next: 'a' },
  ]);
  await assert.rejects(source.readAll(), { name: 'SourceError', message: /gave a cursor that it had given before/ });
  await using resumed = await open(items, [{ items: [1], next: 'a' }]);
  await assert.rejects(resumed.readAll('a'), { name: 'SourceError' });
});

test('What is neither records nor a cursor is a SourceError that names the page and the path.', async () => {
  for (const [page, message] of [
    [{ data: [1] }, 'the page at /items has no array "items"'],
    [{ items: {} }, 'the page at /items has no array "items"'],
    [null, 'the page at /items has no array "items"'],
    [{ items: [], next: { after: 1 } }, 'the page at /items has a cursor that is neither text nor a number'],
    [{ items: [], next: true }, 'the page at /items has a cursor that is neither text nor a number'],
  ] as const) {
    await using source = await open(items, [page]);
    await assert.rejects(source.readAll(), { name: 'SourceError', message });
  }
});

test('A resumed run asks for the page of its cursor first.', async () => {
  await using source = await open({ ...items, path: ({ shard }) => `/parts/${shard?.index}` } as CursorPages, [
    { items: [1] },
  ]);
  await source.readAll('x', { shard: { index: 3, of: 4 } });
  assert.deepEqual(source.urls(), ['/parts/3?cursor=x']);
});
