import { SourceError } from '../errors.ts';
import type { Headers, Select } from '../job-types.ts';

/** A page of the source, and what names it in errors. */
export interface Selected {
  body: unknown;
  headers: Headers;
  path: string;
}

/**
 * What a selector finds in a page.
 * @param name the option that it is, for errors
 * @throws SourceError where the job's function throws
 */
export function select<T>(selector: Select<T>, name: string, { body, headers, path }: Selected): unknown {
  if (typeof selector === 'string') return valueAt(body, selector);
  try {
    return selector(body, headers);
  } catch (cause) {
    throw new SourceError(`${name} of the job threw ${(cause as Error)?.name} at the page ${path}`);
  }
}

/** The records of a page; without a selector, the page itself. @throws SourceError where that is no array */
export function recordsOf(selector: Select<unknown[]> | undefined, page: Selected): unknown[] {
  const found = selector === undefined ? page.body : select(selector, 'records', page);
  if (Array.isArray(found)) return found;
  if (selector === undefined) throw new SourceError(`the page at ${page.path} is no array`);
  const wanted =
    typeof selector === 'string' ? `no array "${selector}"` : 'no array where the function "records" looks';
  throw new SourceError(`the page at ${page.path} has ${wanted}`);
}

/**
 * The value at `a.b.0`. A key may hold dots itself, as in `@odata.nextLink`: the longest key that is there counts.
 * @returns undefined where nothing is there
 */
export function valueAt(value: unknown, path: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  for (let end = path.length; end > 0; end = path.lastIndexOf('.', end - 1)) {
    const key = path.slice(0, end);
    if (!Object.hasOwn(value, key)) continue;
    const found: unknown = (value as Record<string, unknown>)[key];
    return end === path.length ? found : valueAt(found, path.slice(end + 1));
  }
  return undefined;
}
