/**
 * What was counted; `read = written + invalid + failed + unsettled` at any moment, because a page is counted when the last
 * of its records has ended. A type and not an interface: it is stored as a record of numbers.
 */
export type Report = {
  read: number;
  written: number;
  /** Not as the job's schema says. */
  invalid: number;
  /** Refused by the target, or given up after all attempts. */
  failed: number;
  /** Asked for by id, but not there. */
  missing: number;
  /** Not started, or aborted: whether the target has it is unknown. */
  unsettled: number;
  pages: number;
  peakInFlight: number;
  durationMs: number;
};

/** How the way of one record ends. */
export type Ending = 'written' | 'invalid' | 'failed' | 'unsettled';

export function newReport(): Report {
  return {
    read: 0,
    written: 0,
    invalid: 0,
    failed: 0,
    missing: 0,
    unsettled: 0,
    pages: 0,
    peakInFlight: 0,
    durationMs: 0,
  };
}

/** Adds the counts of records and pages to `sum`. */
export function addCounts(sum: Report, part: Report): void {
  sum.read += part.read;
  sum.written += part.written;
  sum.invalid += part.invalid;
  sum.failed += part.failed;
  sum.missing += part.missing;
  sum.unsettled += part.unsettled;
  sum.pages += part.pages;
}
