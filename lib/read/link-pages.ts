import { isUtf8 } from 'node:buffer';
import { SourceError } from '../errors.ts';
import type { List, Listing, Page, Query, Window } from '../job-types.ts';

/**
 * Lists a source whose pages name the next one in a header `Link: <…>; rel="next"` (RFC 8288); a page without it is the last.
 * The cursor is the next page's path and query. A link that leads out of the source's base URL is an error, because the
 * credentials belong nowhere else.
 * @param options.query the parameters of the first page; undefined ones are left out
 * @param options.records the field that holds the records; without it, the page itself is the array
 */
export function linkPages(options: { path: string; query: (window: Window) => Query; records?: string }): List {
  const { path, query, records: field } = options;
  async function* list({ since, until, shard, cursor, getPage, baseUrl }: Listing): AsyncGenerator<Page> {
    let at = cursor;
    do {
      const { body, headers } = await (at === null ? getPage(path, query({ since, until, shard })) : getPage(at));
      const records = field === undefined ? body : Object(body)[field];
      if (!Array.isArray(records)) {
        const wanted = field === undefined ? 'is no array' : `has no array "${field}"`;
        throw new SourceError(`the page at ${at ?? path} ${wanted}`);
      }
      const link = nextLink(decoded([headers.link ?? ''].flat().join(', ')));
      at = link === undefined ? null : pathBelow(baseUrl, at ?? path, link);
      yield { records, cursor: at };
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
function nextLink(header: string): string | undefined {
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
    if (!link || !read(END)) throw new SourceError(`the source sent a malformed Link header (at character ${at + 1})`);
    const relations = (parameters.get('rel') ?? '').toLowerCase().split(/\s+/);
    if (!relations.includes('next')) continue;
    if (parameters.has('anchor')) throw new SourceError('the source sent a Link header whose rel=next has an anchor');
    next ??= link[1];
  }
  return next;
}

/** Resolves `link`, found at `path`, to a path and query below `baseUrl`. @throws SourceError when it leads elsewhere */
function pathBelow(baseUrl: string, path: string, link: string): string {
  const base = new URL(baseUrl);
  const next = URL.parse(link, baseUrl + path);
  const basePath = base.pathname.replace(/\/$/, '');
  const below =
    next?.origin === base.origin && (next.pathname === basePath || next.pathname.startsWith(`${basePath}/`));
  if (!next || !below) {
    throw new SourceError(
      `the next page that ${path} names is not below the source's URL (${next?.origin ?? 'no URL'})`,
    );
  }
  return next.pathname.slice(basePath.length) + next.search;
}
