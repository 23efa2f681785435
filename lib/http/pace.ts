import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../time/abort.ts';

/** How fast a server wants to be called: what all requests to it share. */
export interface Pace {
  /**
   * Resolves when the next request may start; undefined where that is now. Each turn ends with `over`.
   * @throws the signal's reason
   */
  turn(signal: AbortSignal): Promise<void> | undefined;
  /** The request of a turn is answered, or has failed. */
  over(): void;
  /**
   * The server has answered that it is called too fast, to a request that started at `startedMs`: everybody pauses for as
   * long as it asks, and when this goes on after the pause, fewer requests at a time are made.
   * @returns for how long it has taken nothing, in ms; 0 where it took another request since `startedMs`
   */
  throttled(startedMs: number, retryAfterMs: number): number;
  /** The server has taken a request; so many in a row as are allowed at a time allow one more. */
  succeeded(): void;
  /** Is told how many requests at a time are allowed from now on. */
  onChange: (concurrency: number) => void;
}

/** Longer than any pause between two attempts that nobody has asked for. */
const IDLE_MS = 5000;

/**
 * Starts at `concurrency` requests at a time, halves that when the server throttles again after a pause, and goes back up
 * step by step (additive increase, multiplicative decrease, as TCP does: RFC 5681).
 * @param options.perSecond the most requests that start within a second; no limit where it is undefined
 */
export function createPace(options: { concurrency: number; perSecond?: number | undefined }): Pace {
  const { concurrency, perSecond } = options;
  const gapMs = perSecond === undefined ? 0 : 1000 / perSecond;
  /** Retries wait here when fewer are allowed than have started. */
  const waiting: (() => void)[] = [];
  let active = 0;
  let allowed = concurrency;
  let successes = 0;
  let pausedUntilMs = 0;
  let throttledAtMs = Number.NEGATIVE_INFINITY;
  let throttledBefore = false;
  let throttledSinceMs: number | undefined;
  let succeededAtMs = Number.NEGATIVE_INFINITY;
  let nextMs = 0;

  function allow(wanted: number) {
    successes = 0;
    if (wanted === allowed) return;
    allowed = wanted;
    pace.onChange(allowed);
    waiting.shift()?.();
  }

  /** The first moment from `earliestMs` on at which one more may start; it is taken then. */
  function reserve(earliestMs: number) {
    if (gapMs === 0) return earliestMs;
    const startMs = Math.max(earliestMs, nextMs);
    nextMs = startMs + gapMs;
    return startMs;
  }

  async function waitFor(untilMs: number, signal: AbortSignal) {
    for (let startMs = untilMs; ; ) {
      const waitMs = startMs - performance.now();
      if (waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      else if (active >= allowed) {
        await orAborted(new Promise<void>((resolve) => waiting.push(resolve)), signal);
        // The moment that was reserved is long over, and with it those of all who waited.
        startMs = reserve(performance.now());
      }
      // A pause may have begun or been prolonged meanwhile; those who waited do not all start at its end.
      else if (pausedUntilMs > performance.now()) startMs = reserve(pausedUntilMs);
      else break;
    }
    active++;
  }

  const pace: Pace = {
    turn(signal) {
      const nowMs = performance.now();
      const startMs = reserve(Math.max(nowMs, pausedUntilMs));
      // Timers count in whole milliseconds; a shorter wait is made up for by the next one.
      if (startMs - nowMs >= 1 || active >= allowed) return waitFor(startMs, signal);
      active++;
      return;
    },
    over() {
      active--;
      if (active < allowed) waiting.shift()?.();
    },
    throttled(startedMs, retryAfterMs) {
      const nowMs = performance.now();
      // Where nobody called for a while, the server has refused nothing meanwhile.
      if (startedMs > Math.max(throttledAtMs, pausedUntilMs) + IDLE_MS) throttledSinceMs = undefined;
      pausedUntilMs = Math.max(pausedUntilMs, nowMs + retryAfterMs);
      successes = 0;
      throttledSinceMs ??= nowMs;
      // What was under way when the server first said so tells nothing new.
      if (startedMs >= throttledAtMs) {
        throttledAtMs = nowMs;
        if (throttledBefore) allow(Math.max(1, Math.floor(allowed / 2)));
        throttledBefore = true;
      }
      return succeededAtMs >= startedMs ? 0 : nowMs - throttledSinceMs;
    },
    succeeded() {
      throttledSinceMs = undefined;
      succeededAtMs = performance.now();
      if (++successes < allowed) return;
      if (allowed === concurrency) throttledBefore = false;
      allow(Math.min(concurrency, allowed + 1));
    },
    onChange() {},
  };
  return pace;
}
