/** A record that could not be written, and how often that was tried by runs in which the target was up. */
export interface Failure {
  id: string;
  attempts: number;
}

/** The records that could not be written, to be read again by id. */
export interface Failures {
  /** Those that are due for another attempt. */
  due(): string[];
  /**
   * Notes a failure.
   * @param refused that it was an attempt, whatever the target is up to
   * @returns false when the list is full
   */
  failed(id: string, reason: string, refused: boolean): boolean;
  /** Notes that a record of the list cannot be read or is no longer valid: that was an attempt, whatever the target is up to. */
  failedAgain(id: string, reason: string): void;
  /** The record is written, does not exist any more, or is somebody else's to care for. */
  done(id: string): void;
  /** The list as it is to be saved. Attempts to write count only where the target was up. */
  list(targetWasUp: boolean): Failure[];
  /** Those of the list that are not tried any more, with the reason where this run knows it. */
  givenUp(targetWasUp: boolean): (Failure & { reason?: string | undefined })[];
}

const MAX_FAILURES = 1000;

/** Of the ids as JSON: a third of what etcd takes in one request. */
const MAX_BYTES = 500_000;

/** Whoever failed this often at the timer's runs is not read again by itself. */
export const MAX_ATTEMPTS = 5;

/** Goes on with the list that the last run has left. */
export function openFailures(saved: readonly Failure[], maxAttempts: number): Failures {
  const before = new Map(saved.map(({ id, attempts }) => [id, attempts]));
  const now = new Map<string, { reason: string; always: boolean }>();
  const bytesOf = (id: string) => Buffer.byteLength(JSON.stringify(id));
  let bytes = saved.reduce((sum, { id }) => sum + bytesOf(id), 0);

  const list = (targetWasUp: boolean) =>
    [...before].map(([id, attempts]) => {
      const again = now.get(id);
      return { id, attempts: attempts + (again && (again.always || targetWasUp) ? 1 : 0) };
    });

  return {
    due: () => [...before].flatMap(([id, attempts]) => (attempts < maxAttempts ? [id] : [])),
    failed(id, reason, refused) {
      if (!before.has(id)) {
        if (before.size >= MAX_FAILURES || bytes + bytesOf(id) > MAX_BYTES) return false;
        before.set(id, 0);
        bytes += bytesOf(id);
      }
      now.set(id, { reason, always: refused });
      return true;
    },
    failedAgain(id, reason) {
      if (before.has(id)) now.set(id, { reason, always: true });
    },
    done(id) {
      if (before.delete(id)) bytes -= bytesOf(id);
      now.delete(id);
    },
    list,
    givenUp: (targetWasUp) =>
      list(targetWasUp).flatMap((failure) =>
        failure.attempts >= maxAttempts ? [{ ...failure, reason: now.get(failure.id)?.reason }] : [],
      ),
  };
}
