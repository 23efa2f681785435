import type { IncomingHttpHeaders } from 'node:http';
import { type Dispatcher, errors } from 'undici';
import type { HttpAnswer } from './client.ts';

/**
 * To be called when a server says that its answer takes time (1xx), with which undici's time-out starts anew.
 * @throws errors.HeadersTimeoutError once that has gone on for `timeoutMs`
 */
export function patience(timeoutMs: number) {
  let dueMs = 0;
  return () => {
    dueMs ||= performance.now() + timeoutMs;
    if (performance.now() > dueMs) throw new errors.HeadersTimeoutError();
  };
}

/** Takes an answer to its end; what closes the connection before is an error, unless the answer is not a 2xx. */
export class WholeAnswer implements Dispatcher.DispatchHandler {
  readonly #limits: { timeoutMs: number; maxBytes: number };
  readonly #answered: (answer: HttpAnswer) => void;
  readonly #failed: (error: Error) => void;
  readonly #parts: Buffer[] = [];
  /** Those that came last, until there are many: each piece, however small, holds on to what arrived with it. */
  #pieces: Buffer[] = [];
  #bytes = 0;
  #bodyDueMs = 0;
  #status = 0;
  #headers: IncomingHttpHeaders = {};
  #wait?: () => void;

  /** One of the two is called, once. */
  constructor(
    limits: { timeoutMs: number; maxBytes: number },
    answered: (answer: HttpAnswer) => void,
    failed: (error: Error) => void,
  ) {
    this.#limits = limits;
    this.#answered = answered;
    this.#failed = failed;
  }

  onRequestStart() {}

  onResponseStart(_: unknown, status: number, headers: IncomingHttpHeaders) {
    if (status < 200) {
      this.#wait ??= patience(this.#limits.timeoutMs);
      return this.#wait();
    }
    this.#status = status;
    this.#headers = headers;
    this.#bodyDueMs = performance.now() + this.#limits.timeoutMs;
  }

  onResponseData(controller: Dispatcher.DispatchController, part: Buffer) {
    this.#bytes += part.length;
    if (this.#bytes > this.#limits.maxBytes) controller.abort(new errors.ResponseExceededMaxSizeError());
    // undici's time-out starts anew with each piece, so a body that trickles would never meet it.
    else if (performance.now() > this.#bodyDueMs) controller.abort(new errors.BodyTimeoutError());
    else if (this.#pieces.push(part) === 1000) {
      this.#parts.push(Buffer.concat(this.#pieces));
      this.#pieces = [];
    }
  }

  onResponseEnd() {
    const parts = this.#parts.length > 0 ? [...this.#parts, ...this.#pieces] : this.#pieces;
    const body = parts.length > 1 ? Buffer.concat(parts) : (parts[0] ?? NO_BODY);
    this.#answered({ status: this.#status, headers: this.#headers, body });
  }

  onResponseError(_: unknown, error: Error) {
    // Who refuses has said all that is needed, whatever becomes of the rest.
    if (this.#status > 299) this.#answered({ status: this.#status, headers: this.#headers, body: NO_BODY });
    else this.#failed(error);
  }
}

const NO_BODY = Buffer.alloc(0);
