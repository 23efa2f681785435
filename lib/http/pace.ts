import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../time/abort.ts';

/**
 * The rate at which a server takes requests, shared by all requests to it.
 *
 *   full speed ── throttled ──▶ paused ── its Retry-After is over ──▶ on probation
 *   on probation ── throttled ──▶ the limit halves, paused again
 *     └── `limit` successes in a row: the limit rises by one; at the full limit ──▶ full speed
 *
 *   const pace = createPace({ concurrency: 50, perSecond: 100 });
 *   await pace.turn(signal);
 *   await send().finally(pace.over);
 */
export interface Pace {
  /**
   * Resolves when the next request may start; undefined when that is now. `over` ends each turn.
   * @throws the signal's reason, or that of `end`
   */
  turn(signal: AbortSignal): Promise<void> | undefined;
  /** The request of a turn was answered or has failed. */
  over(): void;
  /**
   * The server throttled a request that started at `startedMs`: every request pauses for as long as the server asks.
   * @returns for how long the server has taken nothing, in ms; 0 when it took another request since `startedMs`
   */
  throttled(startedMs: number, retryAfterMs: number): number;
  /** The server took a request. */
  succeeded(): void;
  /** The server has answered, and takes nothing more for so long: turns wait, and nobody is blamed. */
  rest(pauseMs: number): void;
  /** No turn begins any more: all of them, those that wait included, throw this. The first reason counts. */
  end(reason: Error): void;
  /** Receives each new limit of requests in flight. */
  onChange: (concurrency: number) => void;
}

/** Longer than any backoff of ours. */
const IDLE_MS = 5000;

/**
 * Starts at full speed: `concurrency` requests in flight. The limit falls and rises as TCP's window does, by additive
 * increase and multiplicative decrease (RFC 5681).
 * @param options.perSecond the most requests that start within a second; undefined sets no limit
 */
export function createPace(options: { concurrency: number; perSecond?: number | undefined }): Pace {
  const { concurrency, perSecond } = options;
  const gapMs = perSecond === undefined ? 0 : 1000 / perSecond;
  /** Turns that wait because the limit fell below what is in flight. */
  const waiting: (() => void)[] = [];
  let active = 0;
  let limit = concurrency;
  let successes = 0;
  let pausedUntilMs = 0;
  let throttledAtMs = Number.NEGATIVE_INFINITY;
  let onProbation = false;
  let throttledSinceMs: number | undefined;
  let succeededAtMs = Number.NEGATIVE_INFINITY;
  let nextMs = 0;
  let ended: Error | undefined;

  function setLimit(wanted: number) {
    successes = 0;
    if (wanted === limit) return;
    limit = wanted;
    pace.onChange(limit);
    waiting.shift()?.();
  }

  /** Takes the first free moment from `earliestMs` on. */
  function reserve(earliestMs: number) {
    if (gapMs === 0) return earliestMs;
    const startMs = Math.max(earliestMs, nextMs);
    nextMs = startMs + gapMs;
    return startMs;
  }

  async function waitFor(untilMs: number, signal: AbortSignal) {
    for (let startMs = untilMs; ; ) {
      if (ended) throw ended;
      const waitMs = startMs - performance.now();
      if (waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      else if (active >= limit) {
        await orAborted(new Promise<void>((resolve) => waiting.push(resolve)), signal);
        // The reserved moment has passed, so all waiting turns would start at once.
        startMs = reserve(performance.now());
      }
      // A pause may have begun or grown meanwhile; the waiting turns must not all start at its end.
      else if (pausedUntilMs > performance.now()) startMs = reserve(pausedUntilMs);
      else break;
    }
    active++;
  }

  const pace: Pace = {
    turn(signal) {
      if (ended) throw ended;
      const nowMs = performance.now();
      const startMs = reserve(Math.max(nowMs, pausedUntilMs));
      // Timers count in whole milliseconds; the next turn makes up for a shorter wait.
      if (startMs - nowMs >= 1 || active >= limit) return waitFor(startMs, signal);
      active++;
      return;
    },
    over() {
      active--;
      if (active < limit) waiting.shift()?.();
    },
    throttled(startedMs, retryAfterMs) {
      const nowMs = performance.now();
      // After a while without requests, the time without success counts from now.
      if (startedMs > Math.max(throttledAtMs, pausedUntilMs) + IDLE_MS) throttledSinceMs = undefined;
      pausedUntilMs = Math.max(pausedUntilMs, nowMs + retryAfterMs);
      successes = 0;
      throttledSinceMs ??= nowMs;
      // A request that was already in flight at the last throttling says nothing new.
      if (startedMs >= throttledAtMs) {
        throttledAtMs = nowMs;
        if (onProbation) setLimit(Math.max(1, Math.floor(limit / 2)));
        onProbation = true;
      }
      return succeededAtMs >= startedMs ? 0 : nowMs - throttledSinceMs;
    },
    succeeded() {
      throttledSinceMs = undefined;
      succeededAtMs = performance.now();
      if (++successes < limit) return;
      if (limit === concurrency) onProbation = false;
      setLimit(Math.min(concurrency, limit + 1));
    },
    rest(pauseMs) {
      pausedUntilMs = Math.max(pausedUntilMs, performance.now() + pauseMs);
    },
    end(reason) {
      ended ??= reason;
      for (const wake of waiting.splice(0)) wake();
    },
    onChange() {},
  };
  return pace;
}
