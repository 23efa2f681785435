import { SourceError } from '../errors.ts';
import { digitsOf, isInexact } from '../inexact-number.ts';
import type { List, Listing, Page, Select, Window } from '../job-types.ts';
import { checkOptions, getSelected, type Paged, requestFor, windowOf } from './paged.ts';
import { recordsOf, type Selected, select } from './select.ts';

/** How to list a source whose pages hold the cursor of the next page. */
export interface CursorPages extends Paged {
  /**
   * Where the next cursor is: text or a number. The list ends where there is none, or null, '' or false; a page without
   * records that has a cursor does not end it.
   */
  next: Select<string | number | null | undefined | false>;
  /** The parameter that takes the cursor. */
  param?: string;
  /** Where the page says whether there is another one. */
  more?: Select<boolean>;
  /** Makes the body of a page's request; the cursor is then sent in it and not as a parameter. */
  body?: (cursor: string | null, window: Window) => unknown;
}

/** @throws JobError for options that cannot be */
export function cursorPages(options: CursorPages): List {
  checkOptions('cursorPages', options, {
    required: { records: ['string', 'function'], next: ['string', 'function'] },
    optional: { param: ['string'], more: ['string', 'function'], body: ['function'] },
  });
  const { records, body, param = 'cursor' } = options;
  async function* list(listing: Listing): AsyncGenerator<Page> {
    const window = windowOf(listing);
    let at = listing.cursor;
    do {
      const parameter = { [param]: at ?? undefined };
      const request = body
        ? { ...requestFor(options, window), body: body(at, window) }
        : requestFor(options, window, parameter);
      const page = await getSelected(listing, request);
      at = cursorOf(options, page);
      yield { records: recordsOf(records, page), cursor: at };
    } while (at !== null);
  }
  return Object.assign(list, { style: 'cursor' });
}

function cursorOf({ next, more }: CursorPages, page: Selected): string | null {
  const goesOn = more === undefined || select(more, 'more', page) === true;
  if (!goesOn) return null;
  const cursor = select(next, 'next', page);
  if (typeof cursor === 'number') return String(cursor);
  if (isInexact(cursor)) return digitsOf(cursor);
  if (typeof cursor === 'string' && cursor !== '') return cursor;
  const isEnd = cursor === undefined || cursor === null || cursor === '' || cursor === false;
  if (!isEnd) throw new SourceError(`the page at ${page.path} has a cursor that is neither text nor a number`);
  if (more === undefined) return null;
  throw new SourceError(`the page at ${page.path} says that there are more, but has no cursor`);
}
