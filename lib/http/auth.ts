import type { Auth, AuthServer, OAuth2Client, Signed, Signer } from '../auth.ts';
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
 * OAuth 2 with client credentials: a token is kept for later invocations, and renewed before it expires and after a 401.
 * @throws JobError for options that cannot be
 */
export function oauth2(client: OAuth2Client): Auth {
  const { tokenUrl, clientId, clientSecret, scope, audience, clientAuth = 'basic', ...rest } = Object(client);
  const unknown = Object.keys(rest).map((name) => `"${name}" is not an option of it`);
  const faults = Object.entries({ tokenUrl, clientId, clientSecret })
    .filter(([, value]) => typeof value !== 'string' || value === '')
    .map(([name]) => `"${name}" is missing`);
  if (!['basic', 'body'].includes(clientAuth)) faults.push('"clientAuth" must be basic or body');
  if (faults.length === 0 && !isSafe(tokenUrl)) faults.push('"tokenUrl" must be an https URL');
  if (faults.length + unknown.length > 0) throw new JobError(`oauth2: ${[...faults, ...unknown].join('; ')}`);
  return later(async (server) => (await import('./oauth2.ts')).tokenSigner(client, server), { renews: true });
}

/** AWS's own APIs (Signature Version 4), with the function's role. The region is the function's where it is left out. */
export function sigV4(signing: { service: string; region?: string }): Auth {
  const { service, region, ...rest } = Object(signing);
  const unknown = Object.keys(rest).map((name) => `"${name}" is not an option of it`);
  if (typeof service !== 'string' || service === '') unknown.unshift('"service" is missing');
  if (unknown.length > 0) throw new JobError(`sigV4: ${unknown.join('; ')}`);
  return later(async (server) => (await import('./sigv4.ts')).awsSigner({ service, region }, server));
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

/** A signer that only some jobs need: it is loaded with the first request. */
function later(load: (server: AuthServer) => Promise<Signer>, also: Partial<Signer> = {}): Auth {
  return {
    open(server) {
      let loading: Promise<Signer> | undefined;
      return {
        ...also,
        async sign(request, refused) {
          loading ??= load(server);
          return (await loading).sign(request, refused);
        },
      };
    },
  };
}

/** The client's secret goes there. Loopback addresses never leave the machine. */
function isSafe(tokenUrl: string): boolean {
  const { protocol, hostname } = URL.parse(tokenUrl) ?? {};
  return protocol === 'https:' || (protocol === 'http:' && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname ?? ''));
}
