import { setTimeout as sleep } from 'node:timers/promises';
import { type HttpAnswer, HttpError } from './http.ts';

const ATTEMPTS = 5;
const FIRST_BACKOFF_MS = 200;

/** As long as a Lambda can run: whoever asks for more gets no further attempt in this run anyway. */
const LONGEST_WAIT_MS = 900_000;

/**
 * Makes up to 5 attempts while there is no complete answer, or one of 429 or 5xx. Waits as long as `Retry-After` says, plus
 * exponential backoff with full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), so that
 * those who failed together do not come back together.
 * @param options.stop once it has aborted no attempt starts, and its reason is thrown
 * @param options.check called before each attempt; what it throws ends them
 * @returns the first answer that needs no other attempt, or the last one
 * @throws HttpError of the last attempt
 */
export async function withRetries(
  send: () => Promise<HttpAnswer>,
  { stop, check }: { stop: AbortSignal; check: () => void },
): Promise<HttpAnswer> {
  for (let attempt = 1; ; attempt++) {
    stop.throwIfAborted();
    check();
    let askedMs = 0;
    try {
      const answer = await send();
      if (attempt === ATTEMPTS || !isTransient(answer.status)) return answer;
      askedMs = retryAfterMs(answer.headers['retry-after'], Date.now());
    } catch (error) {
      if (attempt === ATTEMPTS || !(error instanceof HttpError && error.retriable)) throw error;
    }
    const backoffMs = Math.random() * FIRST_BACKOFF_MS * 2 ** (attempt - 1);
    await sleep(askedMs + backoffMs, undefined, { signal: stop }).catch(() => undefined);
  }
}

const isTransient = (status: number) => status === 429 || status >= 500;

/** How long `Retry-After` asks to wait: it holds seconds or an HTTP date. What cannot be understood asks for nothing. */
export function retryAfterMs(header: string | undefined, nowMs: number): number {
  if (header === undefined) return 0;
  const askedMs = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs;
  return Math.min(Math.max(askedMs || 0, 0), LONGEST_WAIT_MS);
}
