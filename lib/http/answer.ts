import type { IncomingHttpHeaders } from 'node:http';
import { type Dispatcher, errors } from 'undici';

/** Receives an answer or why there is none; the body is empty if the status is not 2xx and the body could not be read. */
type Settled = (
  outcome: { status: number; headers: IncomingHttpHeaders; body: Uint8Array; dropped?: boolean } | Error,
) => void;

/**
 * Returns a function to call for each interim answer (1xx), because undici restarts its time-out with it. That function throws
 * errors.HeadersTimeoutError once interim answers have come for `timeoutMs`.
 */
export function patience(timeoutMs: number) {
  let dueMs = 0;
  return () => {
    dueMs ||= performance.now() + timeoutMs;
    if (performance.now() > dueMs) throw new errors.HeadersTimeoutError();
  };
}

/** How much of an answer is waited for and kept. */
export interface AnswerLimits {
  /** Bounds the whole body. */
  timeoutMs: number;
  /** A larger body is an error, unless `keepBytes` is set and the status is 2xx. */
  maxBytes: number;
  /** Of a larger body nothing is kept: an answer 2xx is read to its end, whatever its length, and dropped. */
  keepBytes?: number;
}

/** Of an answer other than 2xx, about as much is kept: what it says of the reason comes first. */
export const MAX_REFUSAL_BYTES = 16 * 1024;

/** Collects a whole answer. A connection that closes earlier is an error, unless the status is not 2xx. */
export class WholeAnswer implements Dispatcher.DispatchHandler {
  readonly #limits: AnswerLimits;
  readonly #settled: Settled;
  #parts: Buffer[] = [];
  /** The latest pieces, joined at every thousand: each piece, however small, keeps the whole buffer that it arrived in. */
  #pieces: Buffer[] = [];
  readonly #keepBytes: number;
  #bytes = 0;
  #bodyDueMs = 0;
  #status = 0;
  #headers: IncomingHttpHeaders = {};
  #wait?: () => void;

  /** Calls `settled` once. */
  constructor(limits: AnswerLimits, settled: Settled) {
    this.#limits = limits;
    this.#keepBytes = limits.keepBytes ?? limits.maxBytes;
    this.#settled = settled;
  }

  onRequestStart() {}

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders) {
    if (status < 200) {
      this.#wait ??= patience(this.#limits.timeoutMs);
      return this.#wait();
    }
    this.#status = status;
    this.#headers = headers;
    this.#bodyDueMs = performance.now() + this.#limits.timeoutMs;
    // This server does not answer for our host on this connection, but perhaps on another one (RFC 9110, 15.5.20).
    if (status === 421) controller.abort(new errors.SocketError('misdirected'));
  }

  onResponseData(controller: Dispatcher.DispatchController, part: Buffer) {
    this.#bytes += part.length;
    if (this.#bytes > this.#limits.maxBytes && !this.#dropsRest())
      controller.abort(new errors.ResponseExceededMaxSizeError());
    // undici restarts its time-out with each piece, so a body that trickles in would never reach it.
    else if (performance.now() > this.#bodyDueMs) controller.abort(new errors.BodyTimeoutError());
    else if (this.#status > 299 && this.#bytes - part.length >= MAX_REFUSAL_BYTES) return;
    else if (this.#status < 300 && this.#bytes > this.#keepBytes) this.#forget();
    else if (this.#pieces.push(part) === 1000) {
      this.#parts.push(Buffer.concat(this.#pieces));
      this.#pieces = [];
    }
  }

  onResponseEnd() {
    const parts = this.#parts.length > 0 ? [...this.#parts, ...this.#pieces] : this.#pieces;
    const body = parts.length > 1 ? Buffer.concat(parts) : (parts[0] ?? NO_BODY);
    this.#settled({
      status: this.#status,
      headers: this.#headers,
      body,
      dropped: this.#status < 300 && this.#bytes > this.#keepBytes,
    });
  }

  onResponseError(_: unknown, error: Error) {
    // The status of a refusal is all that is needed.
    this.#settled(this.#status > 299 ? { status: this.#status, headers: this.#headers, body: NO_BODY } : error);
  }

  #dropsRest() {
    return this.#limits.keepBytes !== undefined && this.#status < 300;
  }

  #forget() {
    if (this.#pieces.length === 0 && this.#parts.length === 0) return;
    this.#parts = [];
    this.#pieces = [];
  }
}

const NO_BODY = Buffer.alloc(0);
