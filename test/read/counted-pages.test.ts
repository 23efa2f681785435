import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer, bodyOf } from '../../infra/local/serve.ts';
import type { List } from '../../lib/job-types.ts';
import { numberedPages, offsetPages } from '../../lib/read/counted-pages.ts';
import { openListed } from '../support/listed-source.ts';

const items = (count: number) => Array.from({ length: count }, (_, index) => ({ id: index }));

/** A source of this many items that gives at most `cap` a page; it understands both kinds, in the query or the body. */
async function open(list: List, count: number, options: { cap?: number; total?: unknown; deaf?: boolean } = {}) {
  const { cap = 1000, total, deaf = false } = options;
  const asked: Record<string, unknown>[] = [];
  const source = await openListed(list, async (request, response) => {
    const text = await bodyOf(request);
    const query = Object.fromEntries(new URL(request.url ?? '', 'http://source').searchParams);
    const at: Record<string, unknown> = text ? JSON.parse(text) : query;
    asked.push({ ...at, method: request.method });
    const size = Math.min(cap, Number(at.limit ?? at.size ?? at.per_page));
    const start = at.offset !== undefined ? Number(at.offset) : (Number(at.page) - Number(at.from ?? 1)) * size;
    const found = deaf ? items(size) : items(count).slice(start, start + size);
    answer(response, 200, { items: found, meta: { total } }, total === undefined ? {} : { 'x-total': String(total) });
  });
  return {
    ...source,
    asked,
    async read(cursor: string | null = null) {
      const pages = await source.readAll(cursor);
      return { ids: pages.flatMap(({ records }) => records.map((record) => (record as { id: number }).id)), pages };
    },
  };
}

const all = (count: number, first = 0) =>
  items(count)
    .slice(first)
    .map(({ id }) => id);
const shape = { path: '/items', records: 'items', size: 10 };

test('Without a total, pages are read until one is not full; that may be an empty one.', async () => {
  for (const list of [offsetPages(shape), numberedPages(shape)]) {
    for (const [count, requests] of [
      [25, 3],
      [20, 3],
      [0, 1],
    ] as const) {
      await using source = await open(list, count);
      const { ids, pages } = await source.read();
      assert.deepEqual(ids, all(count));
      assert.deepEqual([pages.length, pages.at(-1)?.cursor], [requests, null]);
    }
  }
});

test('With a total, the list ends there without another request, from the body or a header, as number or text.', async () => {
  for (const total of ['meta.total', (_: unknown, headers: Record<string, unknown>) => headers['x-total'] as number])
    for (const list of [offsetPages({ ...shape, total }), numberedPages({ ...shape, total })]) {
      await using source = await open(list, 20, { total: 20 });
      assert.deepEqual((await source.read()).ids, all(20));
      assert.equal(source.asked.length, 2);
    }
});

test('A source that gives fewer than it is asked for loses no record where it says how many there are.', async () => {
  for (const list of [
    offsetPages({ ...shape, total: 'meta.total' }),
    numberedPages({ ...shape, total: 'meta.total' }),
  ]) {
    await using source = await open(list, 17, { cap: 4, total: 17 });
    assert.deepEqual((await source.read()).ids, all(17));
    assert.equal(source.asked.length, 5);
  }
});

test('A total that is too high ends with an empty page.', async () => {
  for (const list of [
    offsetPages({ ...shape, total: 'meta.total' }),
    numberedPages({ ...shape, total: 'meta.total' }),
  ]) {
    await using source = await open(list, 15, { total: 99 });
    assert.deepEqual((await source.read()).ids, all(15));
    assert.equal(source.asked.length, 3);
  }
});

test('The parameters have the names that the job gives, and pages may count from 0.', async () => {
  await using offsets = await open(offsetPages({ ...shape, params: { offset: 'offset', limit: 'per_page' } }), 12);
  assert.deepEqual((await offsets.read()).ids, all(12));
  assert.deepEqual(offsets.asked[1], { offset: '10', per_page: '10', method: 'GET' });
  const query = () => ({ from: 0 });
  await using numbers = await open(numberedPages({ ...shape, first: 0, query, params: { size: 'per_page' } }), 12);
  assert.deepEqual((await numbers.read()).ids, all(12));
  assert.deepEqual(numbers.asked, [
    { from: '0', page: '0', per_page: '10', method: 'GET' },
    { from: '0', page: '1', per_page: '10', method: 'GET' },
  ]);
});

test('A body takes offset and limit, or page and size, instead of the query.', async () => {
  await using offsets = await open(offsetPages({ ...shape, body: (at) => at }), 12);
  assert.deepEqual((await offsets.read()).ids, all(12));
  assert.deepEqual(offsets.asked[1], { offset: 10, limit: 10, method: 'POST' });
  assert.equal(offsets.requests[1]?.url, '/items');
  await using numbers = await open(numberedPages({ ...shape, body: (at) => at }), 12);
  assert.deepEqual((await numbers.read()).ids, all(12));
  assert.deepEqual(numbers.asked[1], { page: 2, size: 10, method: 'POST' });
});

test('A resumed run goes on where its cursor says; a cursor of another kind is one that is refused.', async () => {
  await using offsets = await open(offsetPages(shape), 25);
  assert.deepEqual((await offsets.read('20')).ids, all(25, 20));
  await using numbers = await open(numberedPages({ ...shape, total: 'meta.total' }), 25, { total: 25 });
  assert.deepEqual((await numbers.read('3')).ids, all(25, 20));
  await assert.rejects(numbers.read('abc'), { name: 'SourceError', cursorRefused: true });
});

test('A run that resumes at the last page with a number asks for no page behind it, which many a source refuses.', async () => {
  for (const [size, cap] of [
    [10, 10],
    [10, 4],
  ] as const) {
    const list = numberedPages({ ...shape, size, total: 'meta.total' });
    await using source = await openListed(list, (request, response) => {
      const page = Number(new URL(request.url ?? '', 'http://source').searchParams.get('page'));
      const found = items(23).slice((page - 1) * cap, page * cap);
      answer(response, found.length > 0 ? 200 : 404, { items: found, meta: { total: 23 } });
    });
    const pages = await source.readAll();
    for (const [index, { cursor }] of pages.entries()) {
      if (cursor !== null) assert.deepEqual(await source.readAll(cursor!), pages.slice(index + 1));
    }
  }
});

test('A source that ignores which page is asked for is a SourceError, and no endless list.', async () => {
  for (const list of [offsetPages(shape), numberedPages(shape)]) {
    await using source = await open(list, 0, { deaf: true });
    await assert.rejects(source.read(), { name: 'SourceError', message: /the same page of \/items twice/ });
  }
});

test('A total that is not there, or no number, is a SourceError that names it.', async () => {
  for (const total of [undefined, 'many', -1, null]) {
    await using source = await open(offsetPages({ ...shape, total: 'meta.total' }), 5, { total });
    await assert.rejects(source.read(), {
      name: 'SourceError',
      message: 'the page at /items has no number "meta.total"',
    });
  }
});

test('A size that no page can have, and a first page that is neither 0 nor 1, are JobErrors that name them.', () => {
  const pages = { path: '/items', records: 'items' };
  for (const size of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    const expected = (kind: string) => ({
      name: 'JobError',
      message: `${kind}: "size" must be a whole number above 0`,
    });
    assert.throws(() => offsetPages({ ...pages, size }), expected('offsetPages'));
    assert.throws(() => numberedPages({ ...pages, size }), expected('numberedPages'));
  }
  assert.throws(() => numberedPages({ ...pages, size: 1, first: 2 as never }), {
    ...{ name: 'JobError', message: 'numberedPages: "first" must be 0 or 1' },
  });
});
