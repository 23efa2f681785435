import { TargetError } from '../errors.ts';
import type { Page } from '../job-types.ts';
import type { RecordOutcomes } from '../record-outcomes.ts';
import type { Report, SettledPage } from '../report.ts';
import { orAborted } from '../time/abort.ts';
import { type Acceptance, type Accepted, accepting, type Invalid } from './accept.ts';
import { type Ending, openEnding } from './ending.ts';
import { openLanes } from './lanes.ts';
import { type OpenPage, openLedger } from './ledger.ts';
import { oneAhead } from './one-ahead.ts';
import { openStreak } from './streak.ts';
import { openTurns } from './turns.ts';

/** This many records are checked and prepared at a time: enough to be fast, and too few to hold up the writes. */
const BATCH_RECORDS = 25;

/** A page as it was read. */
export interface ReadPage extends Page {
  /** The number of records that were asked for by id and could not be read; they have failed. */
  unreadable?: number;
}

/** The versions of records that need no write. */
export interface Versions<R> {
  /** Whether a record need not be written, because a newer version was read before or the same one is at the target. */
  isKnown(record: Accepted<R>): boolean;
  written(record: Accepted<R>): void;
  /** A version of the record could not be written. */
  failed(id: string): void;
}

export interface SyncOptions<R> {
  pages: AsyncIterable<ReadPage>;
  accept: Acceptance<R>;
  /** The most writes in flight at any moment. */
  concurrency: number;
  /** Calls `onChange` when fewer writes are allowed for a while. */
  pace?: { onChange: (concurrency: number) => void } | undefined;
  /** Aborts when nothing new may start; the engine aborts it when the run has to end. */
  closing: AbortController;
  /** Receives the counts; the caller keeps it, so that an error does not lose them. */
  report: Report;
  outcomes: Pick<RecordOutcomes<R>, 'written' | 'invalid' | 'failed'>;
  /** Without it, every record is written. */
  versions?: Versions<R>;
  /** Whether a record of the list is none that was asked for. */
  isOutside?: (record: Accepted<R>) => boolean;
  /** This many records in a row that no attempt got through mean that the target is down. */
  failuresBeforeStop: number;
  /** Called in the order of the pages when another one is settled. */
  pageSettled(page: SettledPage): void;
}

/** A record whose write was tried. */
interface Tried<R> {
  accepted: Accepted<R>;
  page: OpenPage;
}

const idOf = <R>({ accepted }: Tried<R>) => accepted.id;

/**
 * Copies records from pages to writes with bounded concurrency and constant memory. No page waits for the stragglers of the
 * one before; the next page is fetched while the current one is written. Records of the same id are written one after the
 * other, in the order read.
 *
 * Everything in flight has settled when this returns or throws.
 * @throws what the pages threw, or what a write threw that concerns the run.
 */
export async function sync<R>(options: SyncOptions<R>): Promise<Ending> {
  const { pages, concurrency, pace, closing, report, outcomes, versions, failuresBeforeStop } = options;
  const { signal } = closing;
  const accept = accepting(options.accept);
  const ending = openEnding(closing);
  const ledger = openLedger(report, options.pageSettled);
  const inTurn = openTurns();
  const streak = openStreak<Tried<R>>({ limit: failuresBeforeStop, idOf, failed: fail, unsettled: ledger.leave });
  const lanes = openLanes({ concurrency, signal, failed: ending.end });
  if (pace) pace.onChange = lanes.allow;
  let listEnded = false;
  let writing = 0;

  try {
    for await (const page of oneAhead(pages, signal)) {
      await feed(page);
      // The reason to end comes from what is in flight, where that has one.
      if (signal.aborted) break;
    }
    listEnded ||= !signal.aborted;
  } catch (error) {
    ending.end(error);
  }
  await lanes.end();
  const refusesEverybody = streak.end();
  if (refusesEverybody) ending.end(refusesEverybody);
  return ending.result(listEnded && report.unsettled === 0);

  /** Gives the lanes a page. Resolves when they have taken all of it, or take no more. */
  async function feed({ records, cursor, missing = 0, unreadable = 0 }: ReadPage) {
    const counts = { records: records.length, unreadable, missing };
    const page = ledger.open({ ...counts, cursor: cursor ?? undefined, last: cursor === null });
    const number = report.pages;
    let left = records.length;
    try {
      while (left > 0 && !signal.aborted) {
        const from = records.length - left;
        const batch = records.slice(from, from + BATCH_RECORDS);
        const ready = await orAborted(accept(batch, number, from), signal);
        left -= ready.length - (await lanes.offer(ready, (checked) => take(checked, page)));
      }
    } finally {
      ledger.leave(left);
    }
    if (left > 0) return;
    ledger.takenWhole(page);
    // Nothing follows the last page, so a deadline that comes now interrupts only what is in flight.
    if (page.last) listEnded = true;
  }

  function take(checked: Accepted<R> | Invalid, page: OpenPage): Promise<void> | void {
    if ('faults' in checked) return leaveOut(checked, page);
    const listed = page.cursor !== undefined || page.last;
    if (listed && options.isOutside?.(checked)) return ledger.leaveOut(page);
    ledger.note(page, checked.updatedAtMs);
    if (versions?.isKnown(checked)) return ledger.settle(page, 'unchanged');
    return inTurn(checked.id, () => writeRecord(checked, page));
  }

  async function leaveOut({ id, faults, raw }: Invalid, page: OpenPage) {
    try {
      await outcomes.invalid(id, faults, raw);
    } finally {
      ledger.settle(page, 'invalid');
    }
  }

  async function writeRecord(accepted: Accepted<R>, page: OpenPage) {
    writing++;
    try {
      signal.throwIfAborted();
      if (writing > report.peakInFlight) report.peakInFlight = writing;
      await accepted.write();
      // Settle the streak first: it may hold an earlier version of this record.
      streak.taken();
      outcomes.written(accepted.id);
      versions?.written(accepted);
      ledger.settle(page, 'written');
    } catch (error) {
      if (error instanceof TargetError) {
        const targetDown = streak.add({ accepted, page }, error, page.cursor === undefined && !page.last);
        if (targetDown) ending.end(targetDown);
      } else {
        ledger.leave(1);
        ending.end(error);
      }
    } finally {
      writing--;
    }
  }

  function fail({ accepted, page }: Tried<R>, { message, refused }: TargetError) {
    outcomes.failed(accepted.id, message, accepted.record, refused);
    versions?.failed(accepted.id);
    ledger.settle(page, 'failed');
  }
}
