import type { TargetError } from '../errors.ts';
import type { RecordOutcomes } from '../record-outcomes.ts';
import type { Accepted } from './accept.ts';
import type { RunEnding } from './ending.ts';
import type { Ledger, OpenPage } from './ledger.ts';
import { openStreak } from './streak.ts';

/** The versions of records that need no write. */
export interface Versions<R> {
  /** Whether a record need not be written, because a newer version was read before or the same one is at the target. */
  isKnown(record: Accepted<R>): boolean;
  /** The target has this version now. */
  written(record: Accepted<R>): void;
  /** A version of the record could not be written. */
  failed(id: string): void;
}

/** Settles records by what became of them, and ends the run where the target is to blame. */
export interface Conclusions<R> {
  /** The target has the record as it should be. @param taken whether it has done something for that */
  done(record: Accepted<R>, page: OpenPage, taken?: boolean): void;
  /** A record could not be written. */
  failed(record: Accepted<R>, page: OpenPage, error: TargetError): void;
  /** A request for several records has failed. @returns whether some of them may be at fault, and not all or the target */
  failedTogether(error: TargetError): boolean;
  /** Nothing is in flight any more. */
  end(): void;
}

/** A record whose write was tried. */
interface Tried<R> {
  accepted: Accepted<R>;
  page: OpenPage;
}

export function openConclusions<R>(options: {
  ending: RunEnding;
  ledger: Ledger;
  outcomes: Pick<RecordOutcomes<R>, 'done' | 'failed'>;
  versions: Versions<R> | undefined;
  failuresBeforeStop: number;
}): Conclusions<R> {
  const { ending, ledger, outcomes, versions, failuresBeforeStop } = options;
  const streak = openStreak<Tried<R>>({
    limit: failuresBeforeStop,
    idOf: ({ accepted }) => accepted.id,
    failed: giveUp,
    unsettled: ledger.leave,
  });

  function giveUp({ accepted, page }: Tried<R>, { message, refused }: TargetError) {
    outcomes.failed(accepted.id, message, accepted.record, refused);
    versions?.failed(accepted.id);
    ledger.settle(page, 'failed');
  }

  const endWith = (error: Error | undefined) => error && ending.end(error);

  return {
    done(accepted, page, taken = accepted.as !== 'unchanged') {
      const { id, as } = accepted;
      // Settle the streak first: it may hold an earlier version of this record.
      if (taken) streak.taken();
      outcomes.done(id, as);
      versions?.written(accepted);
      ledger.settle(page, as);
    },
    failed(accepted, page, error) {
      endWith(streak.add({ accepted, page }, error, page.cursor === undefined && !page.last));
    },
    failedTogether(error) {
      endWith(streak.addRequest(error));
      return streak.mayBeOfSome(error);
    },
    end: () => endWith(streak.end()),
  };
}
