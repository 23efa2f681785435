import { TargetError } from '../errors.ts';
import type { Page } from '../job.ts';
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

export interface SyncOptions<R> {
  pages: AsyncIterable<Page>;
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
  /** This many records in a row that no attempt got through mean that the target is down. */
  failuresBeforeStop: number;
  /** Called in the order of the pages when another one is settled. */
  pageSettled(page: SettledPage): void;
}

/**
 * Copies records from pages to writes with bounded concurrency and constant memory. No page waits for the stragglers of the
 * one before; the next page is fetched while the current one is written. Records of the same id are written one after the
 * other, in the order read.
 *
 * Everything in flight has settled when this returns or throws.
 * @throws what the pages threw, or what a write threw that concerns the run.
 */
export async function sync<R>(options: SyncOptions<R>): Promise<Ending> {
  const { pages, concurrency, pace, closing, report, outcomes, failuresBeforeStop } = options;
  const { signal } = closing;
  const accept = accepting(options.accept);
  const ending = openEnding(closing);
  const ledger = openLedger(report, options.pageSettled);
  const inTurn = openTurns();
  const streak = openStreak({ limit: failuresBeforeStop, failed: fail, unsettled: ledger.leave });
  const lanes = openLanes({ concurrency, signal, failed: ending.end });
  if (pace) pace.onChange = lanes.allow;
  let listEnded = false;
  let writing = 0;

  try {
    for await (const page of oneAhead(pages, signal)) await feed(page);
    listEnded = true;
  } catch (error) {
    ending.end(error);
  }
  await lanes.end();
  streak.end();
  return ending.result(listEnded && report.unsettled === 0);

  /** Gives the lanes a page. Resolves when they have taken all of it, or take no more. */
  async function feed({ records, cursor, missing = 0 }: Page) {
    const page = ledger.open({
      records: records.length,
      missing,
      cursor: cursor ?? undefined,
      last: cursor === null,
    });
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
    if (left === 0) ledger.takenWhole(page);
  }

  function take(checked: Accepted<R> | Invalid, page: OpenPage) {
    return 'faults' in checked ? leaveOut(checked, page) : inTurn(checked.id, () => writeRecord(checked, page));
  }

  async function leaveOut({ id, faults, raw }: Invalid, page: OpenPage) {
    await outcomes.invalid(id, faults, raw);
    ledger.settle(page, 'invalid');
  }

  async function writeRecord(accepted: Accepted<R>, page: OpenPage) {
    if (accepted.updatedAtMs > page.newestMs) page.newestMs = accepted.updatedAtMs;
    writing++;
    try {
      signal.throwIfAborted();
      if (writing > report.peakInFlight) report.peakInFlight = writing;
      await accepted.write();
      // Settle the streak first: it may hold an earlier version of this record.
      streak.blameRecords();
      outcomes.written(accepted.id);
      ledger.settle(page, 'written');
    } catch (error) {
      if (error instanceof TargetError) {
        const targetDown = streak.add({ accepted, page }, error);
        if (targetDown) ending.end(targetDown);
      } else {
        ledger.leave(1);
        ending.end(error);
      }
    } finally {
      writing--;
    }
  }

  function fail({ accepted, page }: { accepted: Accepted<R>; page: OpenPage }, { message, refused }: TargetError) {
    outcomes.failed(accepted.id, message, accepted.record, refused);
    ledger.settle(page, 'failed');
  }
}
