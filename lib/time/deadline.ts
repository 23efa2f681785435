import { Interrupted, SettingsError } from '../errors.ts';

/** The time that is left for the answer. */
const TO_ANSWER_MS = 250;

/** The time that is left for revoking the lease, which takes at most 1 s, and for the answer. */
export const TO_REVOKE_AND_ANSWER_MS = 1000 + TO_ANSWER_MS;

/** How long the last call before the answer may take, of `leftMs`. */
export const msBeforeAnswer = (leftMs: number) => Math.max(leftMs / 2, leftMs - TO_ANSWER_MS);

/** The two moments at which a run ends by itself before Lambda ends it. */
export interface Deadline extends Disposable {
  /** Aborts when the reserve is reached: nothing new starts, retries included; what is in flight goes on. */
  closing: AbortSignal;
  /** The time until `closing`, unless the process is asked to end earlier. */
  closesInMs(): number;
  /** The time until Lambda ends the invocation or, once the process was asked to end, until the reserve is used up. */
  endsInMs(): number;
  /** Aborts when half the reserve is used up: what is in flight is aborted, and the rest is for saving and unlocking. */
  cut: AbortSignal;
}

/**
 * Sets both moments from the time that the invocation has left.
 * @param options.stop aborts when the process is asked to end: the run closes at once and has the reserve from then on
 * @throws SettingsError when the function's time-out is not above the reserve
 */
export function setDeadline(options: { remainingMs: number; reserveSeconds: number; stop: AbortSignal }): Deadline {
  const { remainingMs, reserveSeconds, stop } = options;
  const reserveMs = reserveSeconds * 1000;
  if (remainingMs <= reserveMs) {
    throw new SettingsError(
      `DEADLINE_RESERVE_SECONDS is ${reserveSeconds}, but the invocation has only ${Math.round(remainingMs / 1000)} s: ` +
        "the function's time-out must be above the reserve",
    );
  }
  let endsAtMs = performance.now() + remainingMs;
  const closesAtMs = endsAtMs - reserveMs;
  const closing = new AbortController();
  const cut = new AbortController();
  const close = (why: string) => closing.abort(new Interrupted('deadline', why));
  const cutNow = () => cut.abort(new Interrupted('deadline', 'half the deadline reserve is used up'));
  const closer = setTimeout(close, remainingMs - reserveMs, 'the deadline reserve is reached');
  const cutter = setTimeout(cutNow, remainingMs - reserveMs / 2);
  let stopper: NodeJS.Timeout | undefined;
  const onStop = () => {
    close('the process was asked to end');
    endsAtMs = Math.min(endsAtMs, performance.now() + reserveMs);
    stopper = setTimeout(cutNow, reserveMs / 2);
  };
  if (stop.aborted) onStop();
  else stop.addEventListener('abort', onStop, { once: true });
  return {
    closing: closing.signal,
    closesInMs: () => closesAtMs - performance.now(),
    endsInMs: () => endsAtMs - performance.now(),
    cut: cut.signal,
    [Symbol.dispose]() {
      for (const timer of [closer, cutter, stopper]) clearTimeout(timer);
      stop.removeEventListener('abort', onStop);
    },
  };
}
