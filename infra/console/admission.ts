import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** Why a request is not admitted: the status, and a sentence that tells a stranger nothing. */
export interface Rejection {
  status: number;
  message: string;
}

interface Entrance {
  port: number;
  token: string;
}

const digest = (text: string) => createHash('sha256').update(text).digest();

/**
 * Whether a request comes from our own page: the address has the token, `Host` is this loopback port (so that no other name
 * leads here), and no other page has sent it. A POST says where it comes from, and that it is JSON, which a foreign page cannot
 * send without asking first.
 * @returns the path below the token, or why it is refused
 */
export function admit(request: IncomingMessage, { port, token }: Entrance): { path: string } | Rejection {
  const { method = '', headers, url = '/' } = request;
  const hosts = [`127.0.0.1:${port}`, `localhost:${port}`];
  const host = headers.host ?? '';
  if (!hosts.includes(host)) return { status: 421, message: 'this is not the host that you mean' };
  const { origin } = headers;
  if (origin !== undefined && origin !== `http://${host}`)
    return { status: 403, message: 'no other page may ask here' };
  const [, given = '', path = ''] = /^\/([^/?]*)(\/[^?]*)?/.exec(url) ?? [];
  // Digests have one length, so the comparison takes as long for any text.
  if (!timingSafeEqual(digest(given), digest(token))) return { status: 404, message: 'there is nothing here' };
  if (method !== 'GET' && method !== 'POST') return { status: 405, message: 'only GET and POST are known' };
  if (method === 'POST' && origin === undefined) return { status: 403, message: 'a POST needs its Origin' };
  if (method === 'POST' && !/^application\/json(;|$)/.test(headers['content-type'] ?? ''))
    return { status: 415, message: 'a POST has to be application/json' };
  return { path };
}
