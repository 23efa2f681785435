import type { IncomingHttpHeaders } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Dispatcher, Pool } from 'undici';

export interface HttpRequest {
  method: string;
  /** Path and query below the base URL, sent as written: `..` or `%2E` mean nothing to the client. */
  path: string;
  headers: Record<string, string>;
  body?: string | undefined;
  /** Aborts this request alone; what is sent by the ten thousands does without. */
  signal?: AbortSignal;
}

/** An answer whose body has been read to its end. Any status is an answer, a redirect too: none is followed. */
export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** There is no complete answer. The message names neither URL nor content: the caller knows what it asked for. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  /** Whether the same request may fare better later. */
  readonly retriable: boolean;

  constructor(message: string, options: ErrorOptions & { retriable: boolean }) {
    super(message, options);
    this.retriable = options.retriable;
  }
}

/** A client for one API. */
export interface Http extends AsyncDisposable {
  /** The URL of a path as messages may show it: without its query. */
  url(path: string): string;
  /** @throws HttpError, or the reason of a signal that has aborted */
  send(request: HttpRequest): Promise<HttpAnswer>;
}

/** A handshake that takes longer will not come, whatever an answer may take. */
const CONNECT_TIMEOUT_MS = 3000;

/**
 * Opens a client that keeps up to `connections` connections alive, one request on each at a time.
 * @param baseUrl http or https; its path is put before each request's
 * @param options.timeoutMs for the headers of an answer, and as much again for its whole body
 * @param options.maxBytes a longer body is an error
 * @param options.signal aborts everything in flight, and refuses what comes later, with its own reason
 */
export function createHttp(
  baseUrl: string,
  options: { timeoutMs: number; connections: number; maxBytes: number; signal: AbortSignal },
): Http {
  const { timeoutMs, connections, maxBytes, signal } = options;
  const base = new URL(baseUrl);
  const prefix = base.pathname.replace(/\/+$/, '');
  const pool = new Pool(base.origin, {
    connections,
    // With HTTP/2, all requests would share one connection, and its fate.
    allowH2: false,
    connectTimeout: Math.min(timeoutMs, CONNECT_TIMEOUT_MS),
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  });
  // One listener for all requests: one for each would cost a tenth of the throughput.
  const abort = () => void pool.destroy(signal.reason).catch(() => undefined);
  signal.addEventListener('abort', abort, { once: true });

  function send({ method, path, headers, body, signal: own }: HttpRequest): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      own?.throwIfAborted();
      let status = 0;
      let answered: IncomingHttpHeaders = {};
      let bodyDueMs = 0;
      let size = 0;
      const chunks: Buffer[] = [];
      let abortOwn: (() => void) | undefined;

      const handler: Dispatcher.DispatchHandler = {
        onRequestStart(controller) {
          if (!own) return;
          abortOwn = () => controller.abort(own.reason);
          if (own.aborted) abortOwn();
          else own.addEventListener('abort', abortOwn, { once: true });
        },
        onResponseStart(_controller, statusCode, responseHeaders) {
          status = statusCode;
          answered = responseHeaders as IncomingHttpHeaders;
          bodyDueMs = performance.now() + timeoutMs;
        },
        onResponseData(controller, chunk) {
          size += chunk.length;
          if (size > maxBytes) {
            controller.abort(new HttpError(`the answer is longer than ${maxBytes} bytes`, { retriable: false }));
          } else if (performance.now() > bodyDueMs) {
            // undici's own time-out starts anew with each piece, so a body that trickles would never meet it.
            controller.abort(new HttpError(`the answer's body took longer than ${timeoutMs} ms`, { retriable: true }));
          } else {
            chunks.push(chunk);
          }
        },
        onResponseEnd() {
          if (abortOwn) own?.removeEventListener('abort', abortOwn);
          resolve({ status, headers: answered, body: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks) });
        },
        onResponseError(_controller, error) {
          if (abortOwn) own?.removeEventListener('abort', abortOwn);
          if (signal.aborted) reject(signal.reason);
          else if (own?.aborted) reject(own.reason);
          else reject(error instanceof HttpError ? error : explain(error));
        },
      };
      // Without undici's Readable around each body, a request costs a quarter less.
      pool.dispatch({ method, path: prefix + path, headers, body: body ?? null }, handler);
    });
  }

  return {
    url: (path) => base.origin + prefix + path.replace(/\?.*$/s, ''),
    send,
    async [Symbol.asyncDispose]() {
      signal.removeEventListener('abort', abort);
      await Promise.race([pool.destroy(), sleep(1000, undefined, { ref: false })]).catch(() => undefined);
    },
  };
}

function explain(error: Error & { code?: string; errors?: Error[] }): HttpError {
  const { code, errors } = error;
  // Where a name has several addresses, the error that holds the failures of all has no message of its own.
  const message = error.message || errors?.map(({ message }) => message).join(', ') || code || error.name;
  return new HttpError(message, { cause: error, retriable: code !== 'UND_ERR_INVALID_ARG' });
}
