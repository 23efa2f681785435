import { JobError, SourceError } from '../errors.ts';
import type { List, Listing, Page, Query, Select, Window } from '../job-types.ts';
import { checkOptions, getSelected, type Paged, requestFor, windowOf } from './paged.ts';
import { recordsOf, type Selected, select } from './select.ts';

interface Counted extends Paged {
  /** The number of records of a page. */
  size: number;
  /** Where the page says how many records the list has. With it, a page that is not full does not end the list. */
  total?: Select<number>;
}

const OPTIONS = { params: ['object'], total: ['string', 'function'], body: ['function'] };

/**
 * Lists a source that is asked for a number of records from an offset on. The list ends at `total`; without it, at a page
 * that is not full.
 * @throws JobError for options that cannot be
 */
export function offsetPages(
  options: Counted & {
    /** The parameters' names. */
    params?: { offset?: string; limit?: string };
    /** Makes the body of a page's request, which then has no parameters for the offset and the limit. */
    body?: (at: { offset: number; limit: number }, window: Window) => unknown;
  },
): List {
  checkOptions('offsetPages', options, {
    required: { records: ['string', 'function'], size: ['number'] },
    optional: OPTIONS,
  });
  const { size, params = {}, body } = options;
  checkSize('offsetPages', size);
  async function* list(listing: Listing): AsyncGenerator<Page> {
    const window = windowOf(listing);
    const isNew = newPages();
    for (let offset = numberOf(listing.cursor, 0); ; ) {
      const query = { [params.offset ?? 'offset']: offset, [params.limit ?? 'limit']: size };
      const page = await getCounted(options, listing, query, body && (() => body({ offset, limit: size }, window)));
      isNew(page);
      const { length } = page.records;
      offset += length;
      const ends = length === 0 || (page.total === undefined ? length < size : offset >= page.total);
      yield { records: page.records, cursor: ends ? null : String(offset) };
      if (ends) return;
    }
  }
  return Object.assign(list, { style: 'offset' });
}

/**
 * Lists a source whose pages have numbers, from `first` on, which is 1 or 0. The list ends as that of `offsetPages` does.
 * @throws JobError for options that cannot be
 */
export function numberedPages(
  options: Counted & {
    first?: 0 | 1;
    /** The parameters' names. */
    params?: { page?: string; size?: string };
    /** Makes the body of a page's request, which then has no parameters for the page and its size. */
    body?: (at: { page: number; size: number }, window: Window) => unknown;
  },
): List {
  checkOptions('numberedPages', options, {
    required: { records: ['string', 'function'], size: ['number'] },
    optional: { ...OPTIONS, first: ['number'] },
  });
  const { size, first = 1, params = {}, body } = options;
  checkSize('numberedPages', size);
  if (first !== 0 && first !== 1) throw new JobError('numberedPages: "first" must be 0 or 1');
  async function* list(listing: Listing): AsyncGenerator<Page> {
    const window = windowOf(listing);
    const isNew = newPages();
    // A server may give fewer than it is asked for. Kept in the cursor, because the last page does not tell.
    const [from, given] = placeOf(listing.cursor, first);
    let perPage = given;
    for (let number = from; ; number++) {
      const query = { [params.page ?? 'page']: number, [params.size ?? 'size']: size };
      const page = await getCounted(options, listing, query, body && (() => body({ page: number, size }, window)));
      isNew(page);
      const { length } = page.records;
      perPage = Math.max(perPage, length);
      const read = (number - first) * perPage + length;
      const ends = length === 0 || (page.total === undefined ? length < size : read >= page.total);
      yield { records: page.records, cursor: ends ? null : `${number + 1}/${perPage}` };
      if (ends) return;
    }
  }
  // Pages of another size are other pages.
  return Object.assign(list, { style: `page of ${size}` });
}

function checkSize(kind: string, size: number) {
  if (!Number.isSafeInteger(size) || size < 1) throw new JobError(`${kind}: "size" must be a whole number above 0`);
}

interface CountedPage extends Omit<Page, 'cursor'> {
  total: number | undefined;
  path: string;
}

async function getCounted(
  options: Counted,
  listing: Listing,
  query: Query,
  body: (() => unknown) | undefined,
): Promise<CountedPage> {
  const window = windowOf(listing);
  const { method = 'POST' } = options;
  const request = body ? { ...requestFor(options, window), method, body: body() } : requestFor(options, window, query);
  const page = await getSelected(listing, request);
  const { records, total } = options;
  return {
    records: recordsOf(records, page),
    total: total === undefined ? undefined : totalOf(total, page),
    path: page.path,
  };
}

function totalOf(selector: Select<number>, page: Selected): number {
  const found = select(selector, 'total', page);
  // A header holds it as text.
  const total = typeof found === 'string' && /^\d+$/.test(found) ? Number(found) : found;
  if (typeof total === 'number' && total >= 0) return total;
  const wanted =
    typeof selector === 'string' ? `no number "${selector}"` : 'no number where the function "total" looks';
  throw new SourceError(`the page at ${page.path} has ${wanted}`);
}

function numberOf(cursor: string | null, first: number): number {
  if (cursor === null) return first;
  if (/^\d+$/.test(cursor)) return Number(cursor);
  throw new SourceError('the cursor is no number', { cursorRefused: true });
}

/** The number of a page, and how many records those before it had at most. */
function placeOf(cursor: string | null, first: number): [number: number, perPage: number] {
  const [number = null, perPage = '0'] = cursor?.split('/', 2) ?? [];
  return [numberOf(number, first), numberOf(perPage, 0)];
}

/** @returns a function that throws SourceError at a page that is the same as the one before: its list would never end */
function newPages() {
  let before: string | undefined;
  return ({ records, path }: CountedPage) => {
    // Pages of one record are the same where one was inserted meanwhile.
    const now = records.length > 1 ? JSON.stringify([records.length, records[0], records.at(-1)]) : undefined;
    if (now !== undefined && now === before) {
      throw new SourceError(
        `the server gave the same page of ${path} twice: it seems to ignore which one is asked for`,
      );
    }
    before = now;
  };
}
