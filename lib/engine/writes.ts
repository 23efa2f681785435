import { TargetError } from '../errors.ts';
import type { RecordOutcomes } from '../record-outcomes.ts';
import type { Report } from '../report.ts';
import type { Accepted, Invalid } from './accept.ts';
import type { RunEnding } from './ending.ts';
import type { Ledger, OpenPage } from './ledger.ts';
import { openStreak } from './streak.ts';
import { openTurns } from './turns.ts';
import { type WriteMany, writeBatch } from './write-batch.ts';

/** The versions of records that need no write. */
export interface Versions<R> {
  /** Whether a record need not be written, because a newer version was read before or the same one is at the target. */
  isKnown(record: Accepted<R>): boolean;
  /** The target has this version now. */
  written(record: Accepted<R>): void;
  /** A version of the record could not be written. */
  failed(id: string): void;
}

/** What a lane takes: a record that needs something, or a batch of them. */
export type Item<R> = Accepted<R> | Accepted<R>[] | Invalid;

/** A record whose write was tried. */
interface Tried<R> {
  accepted: Accepted<R>;
  page: OpenPage;
}

const idOf = <R>({ accepted }: Tried<R>) => accepted.id;

/** Writes what the lanes take, and finds out whether a failure is the record's or the target's. */
export function openWrites<R>(options: {
  /** Aborts when nothing new may start. */
  signal: AbortSignal;
  ending: RunEnding;
  ledger: Ledger;
  report: Report;
  outcomes: Pick<RecordOutcomes<R>, 'done' | 'invalid' | 'failed'>;
  versions: Versions<R> | undefined;
  /** Writes the records of a batch. */
  writeMany: WriteMany<Accepted<R>> | undefined;
  failuresBeforeStop: number;
}) {
  const { signal, ending, ledger, report, outcomes, versions, writeMany } = options;
  const inTurn = openTurns();
  const streak = openStreak<Tried<R>>({
    limit: options.failuresBeforeStop,
    idOf,
    failed: fail,
    unsettled: ledger.leave,
  });
  let writing = 0;

  return {
    /** Writes a record or a batch of a page. Whatever comes of it is counted or ends the run: it never rejects. */
    take(item: Item<R>, page: OpenPage): Promise<void> {
      if (Array.isArray(item))
        return inTurn(
          item.map(({ id }) => id),
          () => writeAll(item, page),
        );
      return 'faults' in item ? leaveOut(item, page) : inTurn([item.id], () => writeOne(item, page));
    },
    /** The target has the record as it is. */
    keep(accepted: Accepted<R>, page: OpenPage): void {
      settle(accepted, page);
    },
    /** Nothing is in flight any more. Ends the run where the target refuses everybody. */
    end(): void {
      const refusesEverybody = streak.end();
      if (refusesEverybody) ending.end(refusesEverybody);
    },
  };

  async function leaveOut({ id, faults, raw }: Invalid, page: OpenPage) {
    try {
      await outcomes.invalid(id, faults, raw);
    } finally {
      ledger.settle(page, 'invalid');
    }
  }

  async function writeOne(accepted: Accepted<R>, page: OpenPage) {
    try {
      await counted(accepted.write!);
      concluded({ accepted, page }, undefined);
    } catch (error) {
      if (error instanceof TargetError) return concluded({ accepted, page }, error);
      ledger.leave(1);
      ending.end(error);
    }
  }

  async function writeAll(batch: Accepted<R>[], page: OpenPage) {
    let left = batch.length;
    try {
      await writeBatch(batch, {
        write: (records) => counted(() => writeMany!(records)),
        settled(accepted, error) {
          left--;
          concluded({ accepted, page }, error);
        },
        halves(error) {
          const targetDown = streak.addRequest(error);
          if (targetDown) ending.end(targetDown);
          return streak.mayBeOfSome(error);
        },
        signal,
      });
    } catch (error) {
      ledger.leave(left);
      ending.end(error);
    }
  }

  async function counted<T>(request: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    if (++writing > report.peakInFlight) report.peakInFlight = writing;
    try {
      return await request();
    } finally {
      writing--;
    }
  }

  function concluded(tried: Tried<R>, error: TargetError | undefined) {
    const { accepted, page } = tried;
    if (error) {
      const toBlame = streak.add(tried, error, page.cursor === undefined && !page.last);
      if (toBlame) ending.end(toBlame);
      return;
    }
    // Settle the streak first: it may hold an earlier version of this record.
    streak.taken();
    settle(accepted, page);
  }

  function settle(accepted: Accepted<R>, page: OpenPage) {
    const { id, as } = accepted;
    outcomes.done(id, as);
    versions?.written(accepted);
    ledger.settle(page, as);
  }

  function fail({ accepted, page }: Tried<R>, { message, refused }: TargetError) {
    outcomes.failed(accepted.id, message, accepted.record, refused);
    versions?.failed(accepted.id);
    ledger.settle(page, 'failed');
  }
}
