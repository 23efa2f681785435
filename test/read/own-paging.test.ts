import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer } from '../../infra/local/serve.ts';
import { SourceError } from '../../lib/errors.ts';
import type { Listing, Page } from '../../lib/job-types.ts';

import { openListed } from '../support/listed-source.ts';

// The example of a paging of one's own in functions/README.md.
async function* numberedPages({ since, until, cursor, getJson }: Listing): AsyncGenerator<Page> {
  const size = 100;
  for (let page = Number(cursor ?? 1); ; page++) {
    const { items } = Object(await getJson('/v1/items', { page, per_page: size, since, until }));
    if (!Array.isArray(items)) throw new SourceError(`page ${page} of /v1/items has no array "items"`);
    const last = items.length < size;
    yield { records: items, cursor: last ? null : String(page + 1) };
    if (last) return;
  }
}

const items = Array.from({ length: 250 }, (_, index) => ({ id: `item-${index}` }));

/** A source of these items, `per_page` at a time. */
const open = (served: unknown[] | undefined) =>
  openListed(numberedPages, ({ url = '' }, response) => {
    const query = new URL(url, 'http://source').searchParams;
    const [page, size] = [Number(query.get('page')), Number(query.get('per_page'))];
    answer(response, 200, { items: served?.slice((page - 1) * size, page * size) });
  });

test('Pages by number are read until one is not full, with the window.', async () => {
  await using source = await open(items);
  const pages = await source.readAll(null, { since: '2026-01-01T00:00:00.000Z' });
  assert.deepEqual(
    pages.map(({ records, cursor }) => [records.length, cursor]),
    [
      [100, '2'],
      [100, '3'],
      [50, null],
    ],
  );
  assert.deepEqual(
    pages.flatMap(({ records }) => records),
    items,
  );
  assert.equal(source.requests[0]?.url, '/v1/items?page=1&per_page=100&since=2026-01-01T00%3A00%3A00.000Z');
});

test('A list that ends with a full page ends with an empty one after it.', async () => {
  await using source = await open(items.slice(0, 200));
  assert.deepEqual(
    (await source.readAll()).map(({ records }) => records.length),
    [100, 100, 0],
  );
});

test('A resumed run goes on at the page that its cursor names.', async () => {
  await using source = await open(items);
  assert.deepEqual(await source.readAll('3'), [{ records: items.slice(200), cursor: null }]);
});

test('A page without a list is an error, not the end.', async () => {
  await using source = await open(undefined);
  await assert.rejects(source.readAll(), {
    name: 'SourceError',
    message: /page 1 of \/v1\/items has no array "items"/,
  });
});

test('A listing that yields something other than a list, or a cursor that is not a string, fails and nothing of it is kept.', async () => {
  const wrong = {
    'gave a page whose records are no array': { items: { first: 1 }, next: null },
    'gave a cursor that is a number: it has to be a string or null': { items: [], next: 2 },
  };
  for (const [what, body] of Object.entries(wrong)) {
    async function* passedOn({ getJson }: Listing): AsyncGenerator<Page> {
      const { items, next } = Object(await getJson('/v1/items'));
      yield { records: items, cursor: next };
    }
    await using source = await openListed(passedOn, (_, response) => answer(response, 200, body));
    await assert.rejects(source.readAll(), { name: 'SourceError', message: `source.list of the job ${what}` });
  }
});
