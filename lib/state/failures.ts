import { bounded } from '../bounded.ts';

/** A record that could not be written, and how many runs have tried that while the target was up. */
export interface Failure {
  id: string;
  attempts: number;
  /** Why, the last time that it was tried; of the first records of the list only. */
  reason?: string | undefined;
  /** When its tombstone is from, where that is what failed: the source may have it in its list only. */
  deletedAt?: string | undefined;
}

/** The records that could not be written and are read again by id. */
export interface Failures {
  /** The ids that are due for another attempt. */
  due(): string[];
  /**
   * Notes a failure.
   * @param refused that it counts as an attempt, whatever state the target is in
   * @returns false when the list is full
   */
  failed(id: string, reason: string, refused: boolean): boolean;
  /** Notes that what has failed of a record is its tombstone, or with undefined that it is none. */
  deleted(id: string, at: string | undefined): void;
  /** When the tombstone is from that has failed, and whether this run is the last one that tries it. */
  tombstoneOf(id: string): { at: string; isLast: boolean } | undefined;
  /** A record of the list cannot be read or is no longer valid. That counts as an attempt, whatever state the target is in. */
  failedAgain(id: string, reason: string): void;
  /** The record is written, no longer exists, or has reached the dead-letter queue. */
  done(id: string): void;
  /** The list to save. Attempts to write count only where the target was up. */
  list(targetWasUp: boolean): Failure[];
  /** The records that are not tried any more, with the reason where this run knows it. */
  givenUp(targetWasUp: boolean): (Failure & { reason?: string | undefined })[];
}

const MAX_FAILURES = 1000;

/** The most bytes of the ids as JSON: a third of what etcd takes in one request. */
const MAX_BYTES = 500_000;

/** Beside the ids there is room for the reasons of so many records, and for so many bytes of each. */
const MAX_REASONS = 100;
const MAX_REASON_BYTES = 200;

/** A record that failed at this many of the timer's runs is not read again. */
export const RUNS_BEFORE_GIVING_UP = 5;

/** Opens the list that the last run has left. */
export function openFailures(saved: readonly Failure[], maxAttempts: number): Failures {
  const before = new Map(saved.map(({ id, ...known }) => [id, known]));
  const now = new Map<string, { reason: string; always: boolean }>();
  const bytesOf = (id: string) => Buffer.byteLength(JSON.stringify(id));
  let bytes = saved.reduce((sum, { id }) => sum + bytesOf(id), 0);

  const list = (targetWasUp: boolean) =>
    [...before].map(([id, { attempts, reason: known, deletedAt }], index): Failure => {
      const again = now.get(id);
      const reason = index < MAX_REASONS ? (again?.reason ?? known) : undefined;
      return {
        ...{ id, attempts: attempts + (again && (again.always || targetWasUp) ? 1 : 0) },
        ...(reason && { reason: bounded(reason, MAX_REASON_BYTES) }),
        ...(deletedAt && { deletedAt }),
      };
    });

  return {
    due: () => [...before].flatMap(([id, { attempts }]) => (attempts < maxAttempts ? [id] : [])),
    failed(id, reason, refused) {
      if (!before.has(id)) {
        if (before.size >= MAX_FAILURES || bytes + bytesOf(id) > MAX_BYTES) return false;
        before.set(id, { attempts: 0, reason: undefined });
        bytes += bytesOf(id);
      }
      now.set(id, { reason, always: refused });
      return true;
    },
    deleted(id, at) {
      const known = before.get(id);
      if (known) known.deletedAt = at;
    },
    tombstoneOf(id) {
      const { deletedAt, attempts = 0 } = before.get(id) ?? {};
      return deletedAt === undefined ? undefined : { at: deletedAt, isLast: attempts + 1 >= maxAttempts };
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
