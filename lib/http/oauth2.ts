import { hash } from 'node:crypto';
import * as oauth from 'oauth4webapi';
import type { AuthServer, Exchanged, OAuth2Client, Signed, Signer } from '../auth.ts';
import { CredentialsError, HttpError, TokenError } from '../errors.ts';
import { excerptOf } from './excerpt.ts';

interface Token {
  signed: Signed;
  /** From when on it is not used any more. */
  staleAtMs: number;
}

/**
 * The tokens of this execution environment, so that the next invocation needs no exchange. A handful at most: there is one
 * for each version of the secret, for the source and for the target.
 */
const tokens = new Map<string, Token>();

/** A token is renewed this long before it expires, or after nine tenths of its life where that is shorter. */
const MARGIN_MS = 60_000;

/** What the server says when it knows the client, and does not want it. */
const REFUSALS = ['invalid_client', 'unauthorized_client', 'invalid_grant', 'access_denied'];

/** Signs with tokens of the grant for client credentials (RFC 6749, 4.4). One exchange is made at a time. */
export function tokenSigner(client: OAuth2Client, server: AuthServer): Signer {
  const key = hash('sha256', JSON.stringify([server.name, client]));
  let exchanging: Promise<Signed> | undefined;

  async function renew(): Promise<Signed> {
    try {
      const token = await requestToken(client, server);
      tokens.set(key, token);
      return token.signed;
    } finally {
      exchanging = undefined;
    }
  }

  return {
    renews: true,
    sign(_request, refused) {
      const token = tokens.get(key);
      if (token && token.signed !== refused && Date.now() < token.staleAtMs) return token.signed;
      exchanging ??= renew();
      return exchanging;
    },
  };
}

async function requestToken(client: OAuth2Client, server: AuthServer): Promise<Token> {
  const { tokenUrl, clientId, clientSecret, scope, audience, clientAuth = 'basic' } = client;
  const as = { issuer: new URL(tokenUrl).origin, token_endpoint: tokenUrl };
  const known = { client_id: clientId };
  const by = clientAuth === 'basic' ? oauth.ClientSecretBasic(clientSecret) : oauth.ClientSecretPost(clientSecret);
  const askedAtMs = Date.now();
  let answer: Exchanged | undefined;
  try {
    const response = await oauth.clientCredentialsGrantRequest(as, known, by, parameters({ scope, audience }), {
      // Which URLs may go without TLS is checked where the job names them.
      [oauth.allowInsecureRequests]: true,
      async [oauth.customFetch](url, { method, headers, body }) {
        answer = await server.exchange(url, { method, headers, body: String(body) });
        return responseOf(answer);
      },
    });
    const token = await oauth.processClientCredentialsResponse(as, known, response);
    const lifeMs = (token.expires_in ?? Number.POSITIVE_INFINITY) * 1000;
    return {
      signed: { headers: { authorization: `Bearer ${token.access_token}` } },
      staleAtMs: askedAtMs + lifeMs - Math.min(MARGIN_MS, lifeMs / 10),
    };
  } catch (error) {
    throw faultOf(error as Error, answer, client, server);
  }
}

/** Never with the library's error as its cause, which holds the answer and with it perhaps a token. */
function faultOf(error: Error, answer: Exchanged | undefined, client: OAuth2Client, { name }: AuthServer): Error {
  const who = `the token server of the ${name}`;
  if (!answer) return error instanceof HttpError ? new TokenError(`${who} did not answer: ${error.message}`) : error;
  const { status } = answer;
  if (status === 200) return new TokenError(`${who} answered without a token that can be used: ${error.message}`);
  const message = `${who} answered ${status}${excerptOf(answer, client)}`;
  const refused = status === 401 || (error instanceof oauth.ResponseBodyError && REFUSALS.includes(error.error));
  return refused ? new CredentialsError(message) : new TokenError(message);
}

function parameters(given: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(Object.entries(given).filter((one): one is [string, string] => one[1] !== undefined));
}

function responseOf({ status, headers, body }: Exchanged): Response {
  const pairs = Object.entries(headers).flatMap(([name, value]) => [value ?? []].flat().map((one) => [name, one]));
  return new Response(body.length > 0 ? Buffer.from(body) : null, { status, headers: pairs as [string, string][] });
}
