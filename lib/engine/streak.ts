import { TargetDownError, type TargetError, TargetRefusedError } from '../errors.ts';

/**
 * A record whose write has failed is in the streak until it is known whether the record or the target is to blame.
 *
 *   failed ──▶ in the streak ── the target takes another record ──▶ the record has failed for good
 *                    ├── the target has taken a record before, and refuses this one or another ──▶ the same
 *                    ├── `limit` records in a row that no attempt got through ──▶ the target is down
 *                    └── `limit` refusals, or 20 and the end of the list, and none taken ──▶ the target refuses everybody
 *   where the target is to blame, the streak stays unsettled
 */
export interface Streak<T> {
  /**
   * A write has failed.
   * @param failedBefore an earlier run could not write the record either: that its content is refused is no news about the
   * target
   * @returns the error that ends the run, once the target is to blame
   */
  add(record: T, error: TargetError, failedBefore: boolean): TargetDownError | TargetRefusedError | undefined;
  /**
   * A request for several records has failed, and is tried again in halves: it counts like one record that no attempt got
   * through, if it was not refused.
   * @returns as `add`
   */
  addRequest(error: TargetError): TargetDownError | undefined;
  /** Whether what was refused to all of a request may be the fault of some of its records. */
  mayBeOfSome(error: TargetError): boolean;
  /** The target has taken a record, so the records of the streak have failed for good. */
  taken(): void;
  /** Nothing is in flight any more. @returns the error that ends the run, where the target is to blame */
  end(): TargetRefusedError | undefined;
}

/** Fewer refusals may be the records' own fault, even if nothing was written. */
const LEAST_REFUSALS = 20;

/**
 * By these a target refuses what a record says. Every other refusal may be one of everybody, such as 403 or a redirect: a target
 * that began it in the middle of a run, or has few new records to refuse, would otherwise have all failed records given up.
 */
const ABOUT_CONTENT = new Set([400, 409, 415, 422]);

/** And by these how large a request is. */
const ABOUT_SIZE = new Set([413, 414, 431]);

/**
 * Opens an empty streak.
 * @param options.limit the number of failures in a row that mean a target that is down or refuses everybody
 * @param options.failed receives each record that has failed for good
 * @param options.unsettled receives the number of records that no one is to blame for
 */
export function openStreak<T>(options: {
  limit: number;
  idOf(record: T): string;
  failed(record: T, error: TargetError): void;
  unsettled(records: number): void;
}): Streak<T> {
  const { failed, unsettled } = options;
  const refusalLimit = Math.max(options.limit, LEAST_REFUSALS);
  let streak: { record: T; error: TargetError }[] = [];
  let unreachedInARow = 0;
  /** Of records that no earlier run has failed to write: one that is read twice is refused twice. */
  const refusals = new Set<string>();
  let hasTaken = false;
  let targetToBlame = false;

  function blameRecords() {
    const blamed = streak;
    streak = [];
    unreachedInARow = 0;
    for (const { record, error } of blamed) failed(record, error);
  }

  function blameTarget() {
    targetToBlame = true;
    unsettled(streak.length);
    streak = [];
  }

  function refusesEverybody() {
    const reasons = new Set(streak.flatMap(({ error }) => (error.refused ? [error.message] : [])));
    const first = [...reasons].slice(0, 3).join('; ');
    blameTarget();
    return new TargetRefusedError(
      `the target refused each of the first ${refusals.size} records that it was asked: ${first}`,
    );
  }

  function unreached(cause: TargetError) {
    if (++unreachedInARow < options.limit || targetToBlame) return;
    const what = streak.length > 0 ? `${streak.length} records` : `${unreachedInARow} requests`;
    blameTarget();
    return new TargetDownError(`${what} in a row failed, the last one so: ${cause.message}`, { cause });
  }

  return {
    taken() {
      hasTaken = true;
      blameRecords();
    },
    add(record, error, failedBefore) {
      // Without an answer of the target, this says nothing about it.
      if (error.refused && error.status === undefined) {
        failed(record, error);
        return;
      }
      streak.push({ record, error });
      if (error.refused) {
        const isNews = !failedBefore || !ABOUT_CONTENT.has(error.status ?? 0);
        if (isNews && !hasTaken) refusals.add(options.idOf(record));
        unreachedInARow = 0;
        // A target that has taken a record is up, and its refusals are about the records.
        if (hasTaken) blameRecords();
        else if (refusals.size >= refusalLimit && !targetToBlame) return refusesEverybody();
        return;
      }
      return unreached(error);
    },
    addRequest(error) {
      if (!error.refused) return unreached(error);
      // It has answered; without a status it was not asked.
      if (error.status !== undefined) unreachedInARow = 0;
      return;
    },
    mayBeOfSome: ({ refused, status = 0 }) =>
      hasTaken || !refused || status < 300 || ABOUT_CONTENT.has(status) || ABOUT_SIZE.has(status),
    end() {
      if (targetToBlame) blameTarget();
      else if (!hasTaken && refusals.size >= LEAST_REFUSALS) return refusesEverybody();
      else blameRecords();
      return;
    },
  };
}
