/** The records that the timer's runs could not write, to be read again by id. */
export interface Failures {
  /** Those that are due for another attempt. */
  due(): string[];
  /** Notes a failure. @returns false when the list is full */
  failed(id: string): boolean;
  /** Notes that a record of the list cannot be read or is no longer valid: that was an attempt, too. */
  failedAgain(id: string): void;
  /** The record is written, or does not exist any more. */
  done(id: string): void;
  /** The list as it is to be saved. Attempts count only where the target was up. */
  list(targetWasUp: boolean): { id: string; attempts: number }[];
}

/** Together with the longest ids that is half a megabyte, a third of what etcd takes in one request. */
const MAX_FAILURES = 1000;

/** Whoever failed this often stays in the list, but is not read again by itself. */
export const MAX_ATTEMPTS = 5;

/** Goes on with the list that the last run has left. */
export function openFailures(saved: readonly { id: string; attempts: number }[]): Failures {
  const before = new Map(saved.map(({ id, attempts }) => [id, attempts]));
  const now = new Set<string>();
  return {
    due: () => [...before].flatMap(([id, attempts]) => (attempts < MAX_ATTEMPTS ? [id] : [])),
    failed(id) {
      if (!before.has(id) && before.size >= MAX_FAILURES) return false;
      if (!before.has(id)) before.set(id, 0);
      now.add(id);
      return true;
    },
    failedAgain(id) {
      if (before.has(id)) now.add(id);
    },
    done(id) {
      before.delete(id);
      now.delete(id);
    },
    list: (targetWasUp) =>
      [...before].map(([id, attempts]) => ({ id, attempts: attempts + (targetWasUp && now.has(id) ? 1 : 0) })),
  };
}
