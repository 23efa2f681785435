import { setTimeout as sleep } from 'node:timers/promises';
import { HttpError, Interrupted } from '../errors.ts';
import type { Credentials, Secret } from '../settings/secrets.ts';
import type { HttpAnswer, HttpRequest } from './client.ts';
import type { Pace } from './pace.ts';

/** What every attempt of a run has to respect. */
export interface Guard {
  /** Called before each attempt. @throws LockLostError once the lease can have expired */
  check(): void;
  /** Fires when nothing new may start, retries included. */
  closing: AbortSignal;
  /** How long that is from now. */
  closesInMs(): number;
  /** Fires when what is in flight has to stop. */
  signal: AbortSignal;
}

/** What every answer begins with, whether its body has arrived or not. */
type Head = Pick<HttpAnswer, 'status' | 'headers'>;

/** Makes one request with everything that belongs to it; gives the last answer, whatever its status. */
export type Send<A = HttpAnswer> = (
  request: Omit<HttpRequest, 'headers'> & { headers?: Record<string, string> },
) => Promise<A>;

const MAX_ATTEMPTS = 5;
const FIRST_BACKOFF_MS = 100;
/** A server that wants a longer pause has the rest of the run to itself. */
const MAX_RETRY_AFTER_MS = 30_000;

/**
 * Makes `Send` for one server: up to five attempts on 429, 5xx, time-outs and broken connections, with exponential
 * backoff and full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), honouring
 * `Retry-After`. A 401 renews the credentials, once a run, and does not count as an attempt; with a `pace`, neither does a
 * throttling of everybody.
 * `Send` throws HttpError after the last attempt, CredentialsError, LockLostError, and Interrupted when the run ends, the
 * server asks for a pause of more than 30 s or one that the run would not outlast, or throttles everybody for 30 s.
 */
export function createSend<A extends Head>(options: {
  name: string;
  http: { send(request: HttpRequest): Promise<A> };
  credentials: Credentials;
  authorization: (secret: Secret) => string;
  guard: Guard;
  /** Shared by all requests that the server may throttle. */
  pace?: Pace;
  /** Told of each answer that says so. */
  throttled?: (() => void) | undefined;
}): Send<A> {
  const { name, http, credentials, authorization, guard, pace, throttled } = options;

  /** How many requests are being made at the moment, their pauses included. */
  let requests = 0;
  return async (request) => {
    requests++;
    try {
      for (let attempt = 1, pauses = 0; ; ) {
        if (pauses > 0) guard.closing.throwIfAborted();
        const turn = pace?.turn(guard.closing);
        if (turn) await turn;
        const startedMs = performance.now();
        const secret = credentials.current();
        let answer: A | HttpError;
        try {
          guard.signal.throwIfAborted();
          guard.check();
          const headers = { ...request.headers, authorization: authorization(secret) };
          answer = await http.send({ ...request, headers });
        } catch (error) {
          if (!(error instanceof HttpError)) throw error;
          answer = error;
        } finally {
          pace?.over();
        }
        const head = answer instanceof HttpError ? undefined : answer;
        if (head?.status === 401) {
          await credentials.renew(secret, guard.signal, new Error(`the ${name} answered 401`));
          guard.closing.throwIfAborted();
          continue;
        }
        const askedMs = head && retryAfterMs(head.headers['retry-after'], Date.now());
        /** For how long the server has taken nothing from anybody. */
        let refusesAllMs = 0;
        if (head?.status === 429 || head?.status === 503) {
          throttled?.();
          refusesAllMs = pace?.throttled(startedMs, askedMs ?? 0) ?? 0;
        } else if (head && head.status < 500) pace?.succeeded();
        if (!isTransient(answer)) return orThrow(answer);
        if (askedMs !== undefined && askedMs > Math.min(MAX_RETRY_AFTER_MS, guard.closesInMs())) {
          throw new Interrupted('throttled', `the ${name} asks for a pause of ${Math.ceil(askedMs / 1000)} s`);
        }
        if (refusesAllMs > MAX_RETRY_AFTER_MS) {
          throw new Interrupted('throttled', `the ${name} has throttled every request for 30 s`);
        }
        // A server that throttles everybody says nothing about this request, unless there is no other one. A 503 that asks for
        // no pause may also mean that it is down.
        const throttlesAll = head?.status === 429 || askedMs !== undefined;
        const counts = !(throttlesAll && refusesAllMs > 0 && requests > 1);
        if (counts && attempt++ === MAX_ATTEMPTS) return orThrow(answer);
        pauses++;
        await pause(askedMs || Math.random() * FIRST_BACKOFF_MS * 2 ** Math.min(pauses, MAX_ATTEMPTS), guard);
      }
    } finally {
      requests--;
    }
  };
}

function isTransient(answer: Head | HttpError) {
  return answer instanceof HttpError ? answer.transient : answer.status === 429 || answer.status >= 500;
}

function orThrow<A>(answer: A | HttpError): A {
  if (answer instanceof HttpError) throw answer;
  return answer;
}

async function pause(waitMs: number, guard: Guard) {
  try {
    await sleep(waitMs, undefined, { signal: AbortSignal.any([guard.closing, guard.signal]) });
  } catch {
    guard.signal.throwIfAborted();
    guard.closing.throwIfAborted();
  }
}

/** `Retry-After` is a number of seconds or a date (RFC 9110, 10.2.3); anything else says nothing. */
export function retryAfterMs(header: string | string[] | undefined, nowMs: number): number | undefined {
  if (typeof header !== 'string') return;
  if (/^\d+$/.test(header.trim())) return Number(header) * 1000;
  // To V8 "1.5" is a date as well.
  const dateMs = /^\s*(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/.test(header) ? Date.parse(header) : Number.NaN;
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs);
}
