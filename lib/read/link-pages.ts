import { isUtf8 } from 'node:buffer';
import { SourceError } from '../errors.ts';
import type { List, Listing, Page, Request, Select } from '../job-types.ts';
import { checkOptions, getSelected, type Paged, requestFor, windowOf } from './paged.ts';
import { recordsOf } from './select.ts';

/**
 * Lists a source whose pages name the next one in a header `Link: <…>; rel="next"` (RFC 8288); a page without it is the last.
 * The cursor is the next page's path and query. A link that leads out of the source's base URL is an error. Without
 * `records`, the page itself is the array.
 * @throws JobError for options that cannot be
 */
export function linkPages(options: Omit<Paged, 'records'> & { records?: Select<unknown[]> }): List {
  checkOptions('linkPages', options, { required: {} });
  const { records } = options;
  async function* list(listing: Listing): AsyncGenerator<Page> {
    const window = windowOf(listing);
    let at = listing.cursor;
    do {
      const { query, ...first } = requestFor(options, window);
      const request: Request = at === null ? { ...first, ...(query && { query }) } : { ...first, path: at };
      const page = await getSelected(listing, request);
      const found = recordsOf(records, page);
      const link = nextLink(decoded([page.headers.link ?? ''].flat().join(', ')), page.path);
      at = link === undefined ? null : listing.below(link, page.path);
      yield { records: found, cursor: at };
    } while (at !== null);
  }
  return Object.assign(list, { style: 'link' });
}

/** undici decodes a header as Latin-1. A URL should be ASCII; where it is not, most servers mean UTF-8. */
function decoded(header: string): string {
  const bytes = Buffer.from(header, 'latin1');
  return isUtf8(bytes) ? bytes.toString() : header;
}

const LINK = /[\s,]*<([^>]*)>\s*/y;
const PARAMETER = /;\s*(?:([^\s=;,"<>]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?)?\s*/y;
const END = /,|$/y;

/**
 * Returns the target of the first link of relation `next`. Parsed by hand, because http-link-header loses a link that follows
 * a flag or a blank before the comma, and accepts unclosed quotes.
 * @throws SourceError when the header cannot be read to its end: taking the page for the last one would lose the rest
 */
function nextLink(header: string, path: string): string | undefined {
  let at = 0;
  const read = (pattern: RegExp) => {
    pattern.lastIndex = at;
    const found = pattern.exec(header);
    if (found) at = pattern.lastIndex;
    return found;
  };
  let next: string | undefined;
  while (/[^\s,]/.test(header.slice(at))) {
    const link = read(LINK);
    // The first of two parameters with the same name counts.
    const parameters = new Map<string, string>();
    for (let found = link && read(PARAMETER); found; found = read(PARAMETER)) {
      const [, name = '', quoted, token = ''] = found;
      if (!parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), quoted ?? token);
    }
    if (!link || !read(END)) {
      throw new SourceError(`the page at ${path} has a malformed Link header (at character ${at + 1})`);
    }
    // No relation has an apostrophe, but some servers quote with them: the rest of the list would be lost.
    const relations = (parameters.get('rel') ?? '').toLowerCase().split(/[\s']+/);
    if (!relations.includes('next')) continue;
    if (parameters.has('anchor'))
      throw new SourceError(`the page at ${path} has a Link header whose rel=next has an anchor`);
    next ??= link[1];
  }
  return next;
}
