import { SourceError } from '../errors.ts';
import type { List, Listing, Page, Query, Window } from '../job-types.ts';

/**
 * Lists a source whose pages hold the cursor of the next page.
 * @param options.query the parameters of each page, without the cursor; undefined ones are left out
 * @param options.records the field that holds the records
 * @param options.next the field that holds the next cursor; null on the last page
 */
export function cursorPages(options: {
  path: string;
  query: (window: Window) => Query;
  records: string;
  next: string;
}): List {
  const { path, query, records: recordsField, next: nextField } = options;
  async function* list({ since, until, shard, cursor, getJson }: Listing): AsyncGenerator<Page> {
    let at = cursor;
    do {
      const body = await getJson(path, { ...query({ since, until, shard }), cursor: at ?? undefined });
      const { [recordsField]: records, [nextField]: next } = Object(body);
      if (!Array.isArray(records)) throw new SourceError(`the page at ${path} has no array "${recordsField}"`);
      if (next !== null && (typeof next !== 'string' || next === '')) {
        throw new SourceError(`the page at ${path} has no cursor "${nextField}" that is a non-empty string or null`);
      }
      yield { records, cursor: next };
      at = next;
    } while (at !== null);
  }
  return Object.assign(list, { style: 'cursor' });
}
