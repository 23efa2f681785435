import type { IncomingHttpHeaders } from 'node:http';
import { type Dispatcher, errors, Pool } from 'undici';
import { HttpError } from './errors.ts';

export interface HttpRequest {
  method: string;
  /** Path and query below the base URL; they go on the wire as written. */
  path: string;
  headers: Record<string, string>;
  body?: string | undefined;
}

/** An answer whose body was read to its end. Any status is an answer, a redirect too: none is followed. */
export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** A client for one server. */
export interface Http extends AsyncDisposable {
  /** @throws HttpError, or the signal's reason once it has fired */
  send(request: HttpRequest, options: { signal: AbortSignal; maxBytes: number }): Promise<HttpAnswer>;
}

/**
 * Opens a client that keeps up to `connections` connections alive. `timeoutMs` holds for the connection, for the headers of
 * an answer, and between two pieces of its body.
 */
export function createHttp(baseUrl: string, options: { timeoutMs: number; connections: number }): Http {
  const { timeoutMs, connections } = options;
  const { origin, pathname } = new URL(baseUrl);
  const basePath = pathname.replace(/\/$/, '');
  const pool = new Pool(origin, {
    connections,
    connect: { timeout: timeoutMs },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  });
  return {
    async send({ method, path, headers, body }, { signal, maxBytes }) {
      try {
        const answer = await pool.request({ method, path: basePath + path, headers, body: body ?? null, signal });
        return {
          status: answer.statusCode,
          headers: answer.headers,
          body: await readToEnd(answer.body, maxBytes),
        };
      } catch (error) {
        signal.throwIfAborted();
        throw error instanceof HttpError ? error : describe(error as Error);
      }
    },
    async [Symbol.asyncDispose]() {
      await pool.destroy();
    },
  };
}

/** Reading throws when the connection closes before the end; undici's `dump()` would not. */
async function readToEnd(body: Dispatcher.ResponseData['body'], maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > maxBytes) throw new HttpError(`the answer is larger than ${maxBytes} bytes`, false);
    parts.push(part);
  }
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts, bytes);
}

function describe(cause: Error & { code?: string }): HttpError {
  const refused = cause instanceof errors.InvalidArgumentError || cause instanceof errors.NotSupportedError;
  return new HttpError(`${cause.code ?? cause.name}: ${cause.message}`, !refused, { cause });
}
