import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from '../../lib/job-types.ts';
import { checkedPages, EndOfList } from '../../lib/read/checked-pages.ts';

const page = (cursor: unknown, records: unknown = []) => ({ records, cursor }) as Page;
const pagesOf = (...cursors: unknown[]) => cursors.map((cursor) => page(cursor));

/** The pages that come through, and the error that ends them. */
async function check(pages: Iterable<Page>, from?: string) {
  const seen: Page[] = [];
  try {
    for await (const one of checkedPages(asAsync(pages), 'source', from)) seen.push(one);
  } catch (error) {
    return { seen, error: error as Error };
  }
  return { seen, error: undefined };
}

async function* asAsync<T>(items: Iterable<T>) {
  yield* items;
}

test('Pages of the right shape come through as they are, with or without a cursor.', async () => {
  const pages = [page('a', [1]), page(undefined, [2, 3]), page('', []), page(null, [4])];
  const { seen, error } = await check(pages);
  assert.equal(error, undefined);
  assert.deepEqual(seen, pages);
  for (const [index, one] of seen.entries()) assert.equal(one, pages[index]);
});

test('A page whose records are no array is a SourceError, after the pages before it.', async () => {
  for (const records of [undefined, null, {}, 'text']) {
    const { seen, error } = await check([page('a'), page('b', records ?? null)]);
    assert.deepEqual([seen.length, error?.name], [1, 'SourceError']);
    assert.equal(error?.message, 'source.list of the job gave a page whose records are no array');
  }
});

test('A cursor that is no text is a SourceError that names its type.', async () => {
  for (const [cursor, type] of [
    [7, 'number'],
    [0, 'number'],
    [{}, 'object'],
    [false, 'boolean'],
  ] as const) {
    const { error } = await check(pagesOf(cursor));
    assert.equal(error?.name, 'SourceError');
    assert.equal(
      error?.message,
      `source.list of the job gave a cursor that is a ${type}: it has to be a string or null`,
    );
  }
});

test('A cursor of 64 Ki characters comes through, and a longer one is a SourceError without its text.', async () => {
  assert.equal((await check(pagesOf('x'.repeat(65_536)))).error, undefined);
  const { error } = await check(pagesOf('x'.repeat(65_537)));
  assert.equal(error?.name, 'SourceError');
  assert.equal(error?.message, 'the source gave a cursor of 65537 characters, more than 65536');
});

test('Cursors that run in a circle are a SourceError, wherever the circle begins and however long it is.', async () => {
  for (const [lead, length] of [
    [0, 1],
    [0, 2],
    [3, 1],
    [5, 7],
    [100, 64],
  ] as const) {
    let given = 0;
    const circle = function* () {
      for (let at = 0; at < 1000; at++) {
        given++;
        yield page(`c${at < lead ? at : lead + ((at - lead) % length)}`);
      }
    };
    const { error } = await check(circle());
    assert.equal(error?.name, 'SourceError');
    assert.equal(error?.message, 'the source gave a cursor that it had given before, so its list would never end');
    // Brent's bound: three times what is there at most, and the first remembered cursor.
    assert.ok(given <= 3 * (lead + length) + 3, `${given} pages for ${lead} + ${length}`);
  }
});

test('Pages without a cursor are no circle, nor are cursors that differ.', async () => {
  for (const cursors of [
    Array(50).fill(undefined),
    Array(50).fill(null),
    Array.from({ length: 50 }, (_, at) => `${at}`),
  ])
    assert.deepEqual((await check(pagesOf(...cursors))).seen.length, 50);
});

test('A list that begins at a cursor ends with an error where its first page gives the same one, and not where a later one does.', async () => {
  const { seen, error } = await check(pagesOf('x'), 'x');
  assert.deepEqual([seen, error?.name], [[], 'SourceError']);
  assert.equal((await check(pagesOf('y', 'x', null), 'x')).error, undefined);
});

test('The end that a listing throws is a last page without records, and any other error is thrown on.', async () => {
  const throwing = function* (error: Error) {
    yield page('a', [1]);
    throw error;
  };
  const { seen, error } = await check(throwing(new EndOfList()));
  assert.deepEqual([seen, error], [[page('a', [1]), page(null)], undefined]);
  assert.equal(new EndOfList().name, 'EndOfList');
  const cause = new RangeError('x');
  const failed = await check(throwing(cause));
  assert.deepEqual([failed.seen.length, failed.error], [1, cause]);
});
