import { setTimeout as sleep } from 'node:timers/promises';
import { type Signed, type Signer, UNSIGNED, type Unsigned } from '../auth.ts';
import { CredentialsError, HttpError, Interrupted } from '../errors.ts';
import { isTransientStatus } from '../http-status.ts';
import type { Guard } from '../time/guard.ts';
import type { HttpAnswer, HttpRequest } from './client.ts';
import type { Pace } from './pace.ts';
import { type Head, isTransientAnswer, spentForMs, type Throttling, throttlingOf } from './throttling.ts';

/** The secret that a run sends its requests with. */
export interface Credentials<S> {
  current(): S;
  /** Called when a server answered 401 to `refused`. @throws CredentialsError where no newer secret helps */
  renew(refused: S, signal: AbortSignal, cause?: Error): Promise<S>;
}

/** Makes one request with all of its attempts and returns the last answer, whatever its status. */
export type Send<A = HttpAnswer> = (
  request: Omit<HttpRequest, 'headers'> & { headers?: Record<string, string> },
) => Promise<A>;

const MAX_ATTEMPTS = 5;
const FIRST_BACKOFF_MS = 100;
/** A server that asks for a longer pause gets the rest of the run. */
const MAX_RETRY_AFTER_MS = 30_000;

/**
 * Makes `Send` for one server: up to five attempts on transient answers, time-outs and broken connections, with exponential
 * backoff and full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). It honours the pause
 * that an answer asks for, and with a `pace` a quota that a request has used up, whatever its status. A 401 renews the
 * credentials, once a run, and is no attempt; with a `pace`, nor is a throttling of everybody.
 *
 * `Send` throws HttpError after the last attempt, CredentialsError, LockLostError, and Interrupted when the run ends, when
 * the server asks for a pause that is longer than 30 s or than the run, or when it throttles everybody for 30 s.
 */
export function createSend<A extends Head, S>(options: {
  name: string;
  http: { send(request: HttpRequest): Promise<A> };
  credentials: Credentials<S>;
  /** Signs each attempt with a version of the secret. */
  signer: (secret: S) => Signer;
  guard: Guard;
  /** Shared by all requests that the server may throttle. */
  pace?: Pace;
  /** A throttled request is tried for as long as the server throttles everybody, even if it is the only one. */
  patient?: boolean;
  /** Called for each answer that throttles, and for each 503. */
  throttled?: (() => void) | undefined;
}): Send<A> {
  const { name, http, credentials, signer, guard, pace, patient = false, throttled } = options;
  /** Requests under way, with their pauses. */
  let requests = 0;

  return async (request) => {
    requests++;
    try {
      return await attemptUntilAnswered(request);
    } finally {
      requests--;
    }
  };

  async function attemptUntilAnswered(request: Parameters<Send>[0]): Promise<A> {
    /** What the server has just answered 401 to, so that another signature is asked for: once for each secret. */
    let refused: Signed | undefined;
    let asked = false;
    for (let attempt = 1, pauses = 0; ; ) {
      if (pauses > 0) guard.closing.throwIfAborted();
      const turn = pace?.turn(guard.closing);
      if (turn) await turn;
      const startedMs = performance.now();
      const secret = credentials.current();
      const current = signer(secret);
      const { signed, answer } = await attemptSigned({ http, guard, pace }, request, current, refused);
      const head = answer instanceof Error ? undefined : answer;
      if ((head?.status === 401 && !head.verdict) || answer instanceof CredentialsError) {
        const asks: boolean = head !== undefined && current.renews === true && !asked;
        const cause = head ? new Error(`the ${name} answered 401`) : (answer as Error);
        if (!asks) await credentials.renew(secret, guard.signal, cause);
        asked = asks;
        refused = asks ? signed : undefined;
        guard.closing.throwIfAborted();
        continue;
      }
      refused = undefined;
      const { throttles, pauseMs } = head ? throttlingOf(head) : NO_ANSWER;
      const refusesAllMs = notePace(head, startedMs, { throttles, pauseMs });
      if (head && !throttles) noteSpent(head);
      if (!isTransient(answer)) return orThrow(answer);
      if (pauseMs !== undefined && isTooLong(pauseMs)) {
        throw throttledFor(pauseMs, `the ${name} asks for a pause of ${seconds(pauseMs)} s`);
      }
      if (refusesAllMs > MAX_RETRY_AFTER_MS) {
        throw new Interrupted('throttled', `the ${name} has throttled every request for 30 s`);
      }
      // A server that throttles everybody says nothing about this request, unless there is no other one.
      const counts = !(throttles && refusesAllMs > 0 && (patient || requests > 1));
      if (counts && attempt++ === MAX_ATTEMPTS) return orThrow(answer);
      pauses++;
      const waitMs = pauseMs || Math.random() * FIRST_BACKOFF_MS * 2 ** Math.min(pauses, MAX_ATTEMPTS);
      // The next attempt takes as long as this one; if the run closed meanwhile, it would look as if the server were slow.
      const tookMs = performance.now() - startedMs;
      if (throttles && waitMs + tookMs > guard.closesInMs()) {
        throw new Interrupted('throttled', `the ${name} throttles until the run ends`);
      }
      await pause(waitMs, guard);
    }
  }

  function isTooLong(pauseMs: number) {
    return pauseMs > Math.min(MAX_RETRY_AFTER_MS, guard.closesInMs());
  }

  /** What was answered counts, and what is in flight goes on; only what comes next has to wait. */
  function noteSpent(head: Head) {
    const spentMs = spentForMs(head);
    if (spentMs === undefined) return;
    if (!isTooLong(spentMs)) pace?.rest(spentMs);
    else pace?.end(throttledFor(spentMs, `the ${name} takes no more requests for ${seconds(spentMs)} s`));
  }

  /** @returns for how long the server has refused everybody, in ms */
  function notePace(head: Head | undefined, startedMs: number, { throttles, pauseMs }: Throttling): number {
    // A 503 that asks for no pause may also mean that the server is down; so may what the job's check wants to try again.
    if (throttles || head?.status === 503 || head?.verdict === 'retry') {
      throttled?.();
      return pace?.throttled(startedMs, pauseMs ?? 0) ?? 0;
    }
    if (head && !isTransientStatus(head.status)) pace?.succeeded();
    return 0;
  }
}

/** @returns the answer; HttpError where there is none, CredentialsError where the request could not be signed */
async function attemptSigned<A extends Head>(
  by: { http: { send(request: HttpRequest): Promise<A> }; guard: Guard; pace: Pace | undefined },
  request: Parameters<Send>[0],
  signer: Signer,
  refused: Signed | undefined,
): Promise<{ signed: Signed; answer: A | HttpError | CredentialsError }> {
  let signed = UNSIGNED;
  try {
    by.guard.signal.throwIfAborted();
    const { path, headers = {} } = request;
    const signing = signer.sign(request.headers ? (request as Unsigned) : { ...request, headers }, refused);
    signed = signing instanceof Promise ? await signing : signing;
    by.guard.check();
    const whole = signed.query === undefined ? path : `${path}${path.includes('?') ? '&' : '?'}${signed.query}`;
    const answer = await by.http.send({ ...request, path: whole, headers: { ...headers, ...signed.headers } });
    if (answer.status > 299 || answer.verdict) answer.signed = signed;
    return { signed, answer };
  } catch (error) {
    if (!(error instanceof HttpError || error instanceof CredentialsError)) throw error;
    return { signed, answer: error };
  } finally {
    by.pace?.over();
  }
}

const seconds = (ms: number) => Math.ceil(ms / 1000);

const throttledFor = (pauseMs: number, message: string) =>
  new Interrupted('throttled', message, {
    notBeforeMs: pauseMs > MAX_RETRY_AFTER_MS ? Date.now() + pauseMs : undefined,
  });

const NO_ANSWER: Throttling = { throttles: false, pauseMs: undefined };

const isTransient = (answer: Head | HttpError) =>
  answer instanceof HttpError ? answer.transient : isTransientAnswer(answer);

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
