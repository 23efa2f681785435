import { TargetDownError, type TargetError } from '../errors.ts';

/**
 * A record whose write has failed is in the streak until it is known whether the record or the target is to blame.
 *
 *   failed ──▶ in the streak ── the target takes or refuses another record ──▶ the record has failed for good
 *                    └───────── `limit` failures in a row ──▶ the target is down, the streak stays unsettled
 */
export interface Streak<T> {
  /** A write has failed. @returns the error that ends the run, once the target is to blame */
  add(record: T, error: TargetError): TargetDownError | undefined;
  /** The target is up, so the records of the streak have failed for good. */
  blameRecords(): void;
  /** Nothing is in flight any more: what is left has failed, unless the target is to blame. */
  end(): void;
}

/**
 * Opens an empty streak.
 * @param options.limit the number of failures in a row that mean a target that is down
 * @param options.failed receives each record that has failed for good
 * @param options.unsettled receives the number of records that no one is to blame for
 */
export function openStreak<T>(options: {
  limit: number;
  failed(record: T, error: TargetError): void;
  unsettled(records: number): void;
}): Streak<T> {
  const { limit, failed, unsettled } = options;
  let streak: { record: T; error: TargetError }[] = [];
  let targetDown = false;

  function blameRecords() {
    const blamed = streak;
    streak = [];
    for (const { record, error } of blamed) failed(record, error);
  }

  function blameTarget() {
    targetDown = true;
    unsettled(streak.length);
    streak = [];
  }

  return {
    blameRecords,
    end: () => (targetDown ? blameTarget() : blameRecords()),
    add(record, error) {
      // Without an answer of the target, this says nothing about it.
      if (error.refused && error.status === undefined) {
        failed(record, error);
        return;
      }
      streak.push({ record, error });
      // An answer that refuses the record shows that the target is up.
      if (error.refused) blameRecords();
      if (streak.length < limit) return;
      const { length } = streak;
      blameTarget();
      return new TargetDownError(`${length} records in a row failed, the last one so: ${error.message}`, {
        cause: error,
      });
    },
  };
}
