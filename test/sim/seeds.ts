import { drawHistory } from './draw-history.ts';
import type { History } from './history.ts';
import { playHistory } from './play-history.ts';
import { shrink } from './shrink.ts';

/** What came of many seeds. */
export interface Played {
  runs: number;
  /** Simulated invocations. */
  invocations: number;
  outcomes: Record<string, number>;
  failures: { seed: number; violations: string[] }[];
}

/**
 * Plays the histories of `runs` seeds from `first` on, every `step`-th.
 * @param options.stopAt ends after so many failing seeds
 */
export async function playSeeds(options: {
  first: number;
  runs: number;
  step?: number;
  stopAt?: number;
  /** Called after each seed. */
  played?: (seed: number, violations: string[]) => void;
}): Promise<Played> {
  const { first, runs, step = 1, stopAt = Number.POSITIVE_INFINITY, played } = options;
  const sum: Played = { runs: 0, invocations: 0, outcomes: {}, failures: [] };
  for (let seed = first; seed < first + runs && sum.failures.length < stopAt; seed += step) {
    const { violations, outcomes } = await inTurn(() => playHistory(drawHistory(seed)));
    sum.runs++;
    for (const [label, count] of Object.entries(outcomes)) {
      sum.invocations += count;
      sum.outcomes[label] = (sum.outcomes[label] ?? 0) + count;
    }
    if (violations.length > 0) sum.failures.push({ seed, violations });
    played?.(seed, violations);
  }
  return sum;
}

/** The shortest history of a failing seed that fails in the same way, and what it violates. */
export function shortestOf(seed: number): Promise<{ history: History; violations: string[] }> {
  const play = (history: History) => playHistory(history).violations;
  return inTurn(() => {
    const drawn = drawHistory(seed);
    const wanted = new Set(play(drawn).map(kindOf));
    const history = shrink(drawn, (candidate) => play(candidate).some((violation) => wanted.has(kindOf(violation))));
    return { history, violations: play(history) };
  });
}

/** Plays one history and tells what happens, a line each. */
export const tellHistory = (history: History, tell: (line: string) => void) => inTurn(() => playHistory(history, tell));

/** A violation without its names and numbers. */
const kindOf = (violation: string) => violation.replaceAll(/[a-z]+-\d+(-of-shard-\d)?|\d+/g, '…').slice(0, 60);

/** The time of a simulated world runs only outside of promises' callbacks. */
const inTurn = <T>(play: () => T) =>
  new Promise<T>((resolve, reject) =>
    setImmediate(() => {
      try {
        resolve(play());
      } catch (error) {
        reject(error);
      }
    }),
  );
