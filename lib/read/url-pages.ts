import { SourceError } from '../errors.ts';
import type { List, Listing, Page, Request, Select, Window } from '../job-types.ts';
import { checkOptions, getSelected, type Paged, requestFor, windowOf } from './paged.ts';
import { recordsOf, select } from './select.ts';

/**
 * Lists a source whose pages hold the URL of the next page, as OData and JSON:API do. The list ends where there is none, or
 * null, '' or false. A URL that leads out of the source's base URL is an error. The cursor is the next page's path and query.
 * @throws JobError for options that cannot be
 */
export function urlPages(
  options: Paged & {
    /** Where the URL is: absolute, or relative to the page. */
    next: Select<string | null | undefined | false>;
    /** Makes the body that is sent to each page's URL. */
    body?: (window: Window) => unknown;
  },
): List {
  checkOptions('urlPages', options, {
    required: { records: ['string', 'function'], next: ['string', 'function'] },
    optional: { body: ['function'] },
  });
  const { records, next, body } = options;
  async function* list(listing: Listing): AsyncGenerator<Page> {
    const window = windowOf(listing);
    let at = listing.cursor;
    do {
      const { query, ...first } = requestFor(options, window);
      const request: Request = at === null ? { ...first, ...(query && { query }) } : { ...first, path: at };
      const page = await getSelected(listing, body ? { ...request, body: body(window) } : request);
      const link = select(next, 'next', page);
      const isEnd = link === undefined || link === null || link === '' || link === false;
      if (!isEnd && typeof link !== 'string') {
        throw new SourceError(`the page at ${page.path} has a next URL that is no text`);
      }
      at = isEnd ? null : listing.below(link, page.path);
      yield { records: recordsOf(records, page), cursor: at };
    } while (at !== null);
  }
  return Object.assign(list, { style: 'url' });
}
