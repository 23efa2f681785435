import type { Query, Request } from '../job-types.ts';
import type { HttpRequest } from './client.ts';

/** Header names in lower case, so that one of a request replaces the fixed one of the same name. */
export const lowerCased = (headers: Record<string, string> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

/** Adds parameters to `path`, which may have a query of its own. */
export function withQuery(path: string, query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
  if (parameters.size === 0) return path;
  // A plus means a blank to some servers only; to AWS's signatures it is a plus.
  return `${path}${path.includes('?') ? '&' : '?'}${parameters.toString().replaceAll('+', '%20')}`;
}

/**
 * What a job's request is on the wire. Its headers come before the fixed ones.
 * @throws TypeError for a body that is no JSON
 */
export function onTheWire(
  request: Request,
  fixedHeaders: Record<string, string>,
): HttpRequest & { headers: Record<string, string> } {
  const { method = 'GET', path, query, headers, body } = request;
  // Without conditional spreads: this is done for each write.
  const all = { ...fixedHeaders };
  const { type, content } = body === undefined ? NO_BODY : bodyOf(body);
  if (type !== undefined) all['content-type'] ??= type;
  if (headers !== undefined) Object.assign(all, lowerCased(headers));
  return { method, path: query === undefined ? path : withQuery(path, query), headers: all, body: content };
}

interface Body {
  type: string | undefined;
  content: string | Uint8Array | undefined;
}

const NO_BODY: Body = { type: undefined, content: undefined };

function bodyOf(body: unknown): Body {
  if (typeof body === 'string') return { type: 'text/plain;charset=UTF-8', content: body };
  if (body instanceof Uint8Array) return { type: 'application/octet-stream', content: body };
  if (body instanceof URLSearchParams) {
    return { type: 'application/x-www-form-urlencoded;charset=UTF-8', content: body.toString() };
  }
  return { type: 'application/json', content: JSON.stringify(body) };
}
