import { addAbortListener } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { Client, errors } from 'undici';
import { HttpError } from '../errors.ts';
import type { Lookup } from './addresses.ts';
import { type AnswerLimits, patience, WholeAnswer } from './answer.ts';
import { createConnecting } from './connect.ts';
import type { Identity } from './tls.ts';

export interface HttpRequest {
  method: string;
  /** Path and query below the base URL; they go on the wire as written. */
  path: string;
  headers: Record<string, string>;
  body?: string | Uint8Array | undefined;
}

/**
 * An answer whose body was read to its end. Redirects are answers too; none is followed. The body of an answer other than 2xx
 * is empty if it could not be read.
 */
export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Uint8Array;
  /** The body was larger than `keepBytes`; it was read, but nothing of it was kept. */
  dropped?: boolean;
}

/** An answer whose body is still arriving. Disposing of it drops the rest. */
export interface HttpStream extends Disposable {
  status: number;
  headers: IncomingHttpHeaders;
  /** Taken from the connection no faster than it is consumed. @throws HttpError, or the signal's reason */
  body: AsyncIterable<Uint8Array>;
}

/** A client for one server. */
export interface Http extends AsyncDisposable {
  /** @throws HttpError, or the signal's reason once it has aborted */
  send(request: HttpRequest): Promise<HttpAnswer>;
  /**
   * Like `send`, for a body of any length. The connection ends with the body: when the server closes one that is to be kept
   * alive, undici drops the unread part of the body. The body of an answer other than 2xx is dropped.
   */
  stream(request: HttpRequest): Promise<HttpStream>;
}

/**
 * Opens a client with one keep-alive connection for each exchange in flight. `timeoutMs` bounds connecting (the look-up of the
 * host included), the wait for the headers, and the whole body (of a stream: the wait for the next piece); for `maxBytes` and
 * `keepBytes` see `AnswerLimits`. When `signal` aborts, everything in flight is aborted and nothing more is sent.
 */
export function createHttp(
  baseUrl: string,
  options: AnswerLimits & {
    signal: AbortSignal;
    /** For a private authority, and our own certificate. */
    identity?: Identity | undefined;
    /** Replaces `dns.lookup`. */
    lookup?: Lookup | undefined;
  },
): Http {
  const { timeoutMs, maxBytes, signal } = options;
  const { origin, pathname } = new URL(baseUrl);
  const basePath = pathname.replace(/\/$/, '');
  const { connect, giveUp } = createConnecting(options);
  const connections: Client[] = [];
  /** Used instead of undici's Pool, whose search for a free connection and whose events cost a fifth of a write. */
  const free: Client[] = [];
  /** Why nothing more is sent. */
  let ended: Error | undefined = signal.aborted ? signal.reason : undefined;

  function takeConnection(): Client {
    const taken = free.pop();
    if (taken) return taken;
    // One exchange at a time on a connection, so that a slow one does not hold up another.
    const opened = new Client(origin, { connect, allowH2: false, headersTimeout: timeoutMs, bodyTimeout: timeoutMs });
    connections.push(opened);
    return opened;
  }

  async function end(reason: Error) {
    ended ??= reason;
    giveUp(reason);
    await Promise.all(connections.map((connection) => connection.destroy(reason)));
  }

  // One listener for the client, because one for each request costs more than the engine.
  const aborting = addAbortListener(signal, () => void end(signal.reason));

  /** What the caller gets for `error`. */
  const reasonOf = (error: Error) => ended ?? describe(error, maxBytes);

  async function* arriving(body: AsyncIterable<Uint8Array>) {
    try {
      yield* body;
    } catch (error) {
      throw reasonOf(error as Error);
    }
  }

  return {
    send({ method, path, headers, body = null }) {
      if (ended) return Promise.reject(ended);
      return new Promise((resolve, reject) => {
        const connection = takeConnection();
        const settled = (outcome: HttpAnswer | Error) => {
          free.push(connection);
          if (outcome instanceof Error) reject(reasonOf(outcome));
          else resolve(outcome);
        };
        // Dispatched directly, because the stream that undici's `request` makes for each body costs a fifth of a write.
        const request = { method, path: basePath + path, headers, body };
        connection.dispatch(request, new WholeAnswer(options, settled));
      });
    },
    async stream({ method, path, headers, body = null }) {
      if (ended) throw ended;
      const connection = takeConnection();
      const giveBack = () => free.push(connection);
      try {
        const request = { method, path: basePath + path, headers, body, reset: true, onInfo: patience(timeoutMs) };
        const answer = await connection.request(request).catch((error) => {
          giveBack();
          throw error;
        });
        answer.body.once('close', giveBack);
        // A body that is dropped emits an error, which nobody waits for.
        answer.body.on('error', () => undefined);
        if (answer.statusCode < 200 || answer.statusCode > 299) answer.body.destroy();
        return {
          status: answer.statusCode,
          headers: answer.headers,
          body: arriving(answer.body),
          [Symbol.dispose]: () => void answer.body.destroy(),
        };
      } catch (error) {
        throw reasonOf(error as Error);
      }
    },
    async [Symbol.asyncDispose]() {
      aborting[Symbol.dispose]();
      await end(new HttpError('the client is closed', false));
    },
  };
}

function describe(cause: Error & { code?: string }, maxBytes: number): HttpError {
  if (cause instanceof errors.ResponseExceededMaxSizeError) {
    return new HttpError(`the answer is larger than ${maxBytes} bytes`, false, { cause });
  }
  // The message of undici's parser reads as if the server did not speak HTTP.
  if (/Invalid EOF state/.test(cause.message)) return new HttpError('the answer broke off', true, { cause });
  const refused = cause instanceof errors.InvalidArgumentError || cause instanceof errors.NotSupportedError;
  return new HttpError(`${cause.code ?? cause.name}: ${cause.message}`, !refused, { cause });
}
