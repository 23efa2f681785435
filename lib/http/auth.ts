import type { Auth, Signed, Signer } from '../auth.ts';
import { JobError } from '../errors.ts';

/** HTTP's Basic scheme (RFC 7617). */
export const basic = (username: string, password: string): Auth =>
  always({
    headers: { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` },
  });

/** A token that somebody has issued (RFC 6750). */
export const bearer = (token: string): Auth => always({ headers: { authorization: `Bearer ${token}` } });

/** A key in a header or in the query. A key in the query stands in no error, log line or cursor. */
export function apiKey(key: { header: string; value: string } | { query: string; value: string }): Auth {
  const { header, query, value, ...rest } = key as { header?: string; query?: string; value: string };
  if ((header === undefined) === (query === undefined) || Object.keys(rest).length > 0) {
    throw new JobError('apiKey takes { header, value } or { query, value }');
  }
  if (header !== undefined) return always({ headers: { [header.toLowerCase()]: value } });
  return always({ headers: {}, query: `${new URLSearchParams([[query!, value]])}` }, { queryName: query! });
}

/**
 * An authorization of one's own.
 * @param headers makes the headers of a request; called again with `renew` after a 401, once for each request that gets one
 */
export function auth(
  headers: (
    request: { method: string; path: string },
    renew: boolean,
  ) => Record<string, string> | Promise<Record<string, string>>,
): Auth {
  return {
    open: () => ({
      renews: true,
      async sign({ method, path }, refused) {
        const made = await headers({ method, path }, refused !== undefined);
        return {
          headers: Object.fromEntries(Object.entries(made).map(([name, value]) => [name.toLowerCase(), value])),
        };
      },
    }),
  };
}

/** The same for every request. */
const always = (signed: Signed, also: Partial<Signer> = {}): Auth => ({
  open: () => ({ sign: () => signed, ...also }),
});
