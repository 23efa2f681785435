import { JobError } from '../errors.ts';
import type { Listing, Query, Request, Select, Window } from '../job-types.ts';
import type { Selected } from './select.ts';

/** What all kinds of pages take. */
export interface Paged {
  path: string | ((window: Window) => string);
  /** POST where there is a `body`, else GET. */
  method?: 'GET' | 'POST';
  /** The parameters of a page; undefined ones are left out. */
  query?: (window: Window) => Query;
  headers?: Record<string, string>;
  /** Where the records are: a path into the page, such as `data.items`, or a function. */
  records: Select<unknown[]>;
}

const PAGED: Record<string, string[]> = {
  path: ['string', 'function'],
  method: ['string'],
  query: ['function'],
  headers: ['object'],
  records: ['string', 'function'],
};

/**
 * Checks the options of a kind of paging, `options` by their names and the types that each may have.
 * @throws JobError that names the kind and every option that is unknown, missing or of another type
 */
export function checkOptions(
  kind: string,
  given: object,
  known: { required: Record<string, string[]>; optional?: Record<string, string[]> },
): void {
  const { path, records, ...rest } = PAGED;
  const required: Record<string, string[]> = { path: path!, ...known.required };
  const types: Record<string, string[]> = {
    ...required,
    ...rest,
    ...(kind === 'streamPages' ? {} : { records: records! }),
    ...known.optional,
  };
  const options = Object.entries(Object(given)).filter(([, value]) => value !== undefined);
  const { method, body } = Object(given);
  const faults = [
    ...Object.keys(required)
      .filter((name) => Object(given)[name] === undefined)
      .map((name) => `"${name}" is missing`),
    ...options.flatMap(([name, value]) => {
      const wanted = types[name];
      if (!wanted) return [`"${name}" is not an option of it: it has ${Object.keys(types).join(', ')}`];
      return wanted.includes(typeof value) ? [] : [`"${name}" must be a ${wanted.join(' or a ')}`];
    }),
  ];
  if (method !== undefined && !['GET', 'POST'].includes(method)) faults.push('"method" must be GET or POST');
  if (method === 'GET' && body !== undefined) faults.push('"body" needs the method POST');
  if (faults.length > 0) throw new JobError(`${kind}: ${faults.join('; ')}`);
}

/** The window of a listing. */
export const windowOf = ({ since, until, shard }: Listing): Window => ({ since, until, shard });

/**
 * The request for a page, without what is its own.
 * @param more further parameters
 */
export function requestFor(paged: Omit<Paged, 'records'> & { body?: unknown }, window: Window, more?: Query): Request {
  const { path, method = paged.body === undefined ? 'GET' : 'POST', query, headers } = paged;
  return {
    method,
    path: typeof path === 'string' ? path : path(window),
    query: { ...query?.(window), ...more },
    ...(headers && { headers }),
  };
}

/** Gets a page. */
export async function getSelected({ getPage }: Listing, request: Request): Promise<Selected> {
  return { ...(await getPage(request)), path: request.path };
}
