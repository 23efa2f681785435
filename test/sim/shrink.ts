import type { History, Weather } from './history.ts';

/**
 * Cuts a history down to a short one that still fails: leaves out more and more of what is in it, each time as much as it can
 * (delta debugging: https://www.debuggingbook.org/html/DeltaDebugger.html).
 * @param fails plays a history and says whether it fails in the same way
 */
export function shrink(history: History, fails: (history: History) => boolean, maxPlays = 2000): History {
  let plays = 0;
  let shortest = history;

  function accept(candidate: History): boolean {
    if (plays >= maxPlays || !(++plays && fails(candidate))) return false;
    shortest = candidate;
    return true;
  }

  /** Leaves out as many items of one list as it can, first large parts of it, then single items. */
  function leaveOut<T>(items: (of: History) => T[], put: (of: History, items: T[]) => History) {
    for (let size = items(shortest).length; size >= 1; size = Math.floor(size / 2)) {
      for (let from = 0; from < items(shortest).length; ) {
        const rest = items(shortest).toSpliced(from, size);
        if (!accept(put(shortest, rest))) from += size;
      }
    }
  }

  /** Replaces each item by simpler ones, as long as it still fails. */
  function simplify<T>(
    items: (of: History) => T[],
    put: (of: History, items: T[]) => History,
    simpler: (item: T) => T[],
  ) {
    for (let at = 0; at < items(shortest).length; at++) {
      for (let again = true; again; )
        again = simpler(items(shortest)[at]!).some((item) => accept(put(shortest, items(shortest).with(at, item))));
    }
  }

  for (let before: History | undefined; before !== shortest && plays < maxPlays; ) {
    before = shortest;
    leaveOut(invocationsOf, putInvocations);
    leaveOut(
      ({ weather }) => weather,
      (of, weather) => ({ ...of, weather }),
    );
    leaveOut(
      ({ changes }) => changes,
      (of, changes) => ({ ...of, changes }),
    );
    leaveOut(
      ({ records }) => records,
      (of, records) => ({ ...of, records }),
    );
    leaveOut(
      ({ env }) => Object.entries(env),
      (of, entries) => ({ ...of, env: Object.fromEntries(entries) }),
    );
    accept({ ...shortest, source: { ...shortest.source, repeats: 0, shuffles: false } });
    accept({ ...shortest, leftBehind: {} });
    simplify(invocationsOf, putInvocations, ({ faults, ...invocation }) => [
      ...faults.map((_, index) => ({ ...invocation, faults: faults.toSpliced(index, 1) })),
      ...(isRight(invocation.clocks) ? [] : [{ ...invocation, faults, clocks: RIGHT }]),
    ]);
    simplify(
      ({ weather }) => weather,
      (of, weather) => ({ ...of, weather }),
      shorter,
    );
  }
  return shortest;
}

const RIGHT = { monotonicRate: 1, wallRate: 1, wallAheadMs: 0 };
const isRight = (clocks: typeof RIGHT) => JSON.stringify(clocks) === JSON.stringify(RIGHT);
const invocationsOf = ({ invocations }: History) => invocations;
const putInvocations = (of: History, invocations: History['invocations']): History => ({ ...of, invocations });

function shorter(weather: Weather): Weather[] {
  const forMs = Math.floor(weather.forMs / 2);
  return forMs < 500
    ? []
    : [
        { ...weather, forMs },
        { ...weather, fromMs: weather.fromMs + forMs, forMs },
      ];
}
