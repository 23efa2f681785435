import type { Page } from '../job-types.ts';
import type { RecordOutcomes } from '../record-outcomes.ts';
import type { Report, SettledPage } from '../report.ts';
import { orAborted } from '../time/abort.ts';
import { type Acceptance, type Accepted, accepting, type Invalid } from './accept.ts';
import { type Bounds, openBatches } from './batches.ts';
import { openConclusions, type Versions } from './conclusions.ts';
import { type Ending, openEnding } from './ending.ts';
import { openLanes } from './lanes.ts';
import { type OpenPage, openLedger } from './ledger.ts';
import { oneAhead } from './one-ahead.ts';
import type { WriteMany } from './write-batch.ts';
import { type Item, writingFrom } from './writes.ts';

/** This many records are checked and prepared at a time: enough to be fast, and too few to hold up the writes. */
const CHECKED_AT_A_TIME = 25;

/** A batch that is not full goes if the next records are not checked by then, instead of waiting for them. */
const BATCH_WAIT_MS = 5;

/** A page as it was read. */
export interface ReadPage extends Page {
  /** The number of records that were asked for by id and could not be read; they have failed. */
  unreadable?: number;
}

export interface SyncOptions<R> {
  pages: AsyncIterable<ReadPage>;
  accept: Acceptance<R>;
  /** How records are written that have no request of their own. */
  batches?: (Bounds & { write: WriteMany<Accepted<R>> }) | undefined;
  /** The most requests to the target in flight at any moment. */
  concurrency: number;
  /** Calls `onChange` when fewer writes are allowed for a while. */
  pace?: { onChange: (concurrency: number) => void } | undefined;
  /** Aborts when nothing new may start; the engine aborts it when the run has to end. */
  closing: AbortController;
  /** Receives the counts; the caller keeps it, so that an error does not lose them. */
  report: Report;
  outcomes: Pick<RecordOutcomes<R>, 'done' | 'invalid' | 'failed'>;
  /** Without it, every record is written. */
  versions?: Versions<R>;
  /** Whether a record of the list is none that was asked for. */
  isOutside?: (record: Accepted<R>) => boolean;
  /** This many records in a row that no attempt got through mean that the target is down. */
  failuresBeforeStop: number;
  /** Called in the order of the pages when another one is settled. */
  pageSettled(page: SettledPage): void;
}

/**
 * Copies records from pages to writes with bounded concurrency and constant memory. No page waits for the stragglers of the
 * one before; the next page is fetched while the current one is written. Records of the same id are written one after the
 * other, in the order read. A batch goes when it is full, and at the latest when its page ends.
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
  const { write: writeMany, ...bounds } = options.batches ?? {};
  const conclusions = openConclusions({ ending, ledger, outcomes, versions, failuresBeforeStop });
  const take = writingFrom({ signal, ending, ledger, report, outcomes, conclusions, writeMany });
  const lanes = openLanes({ concurrency, signal, failed: ending.end });
  const batches = openBatches<Accepted<R> | Invalid, Accepted<R>>(bounds, goesAlone);
  if (pace) pace.onChange = lanes.allow;
  let listEnded = false;

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
  conclusions.end();
  return ending.result(listEnded && report.unsettled === 0);

  /** Gives the lanes a page. Resolves when they have taken all of it, or take no more. */
  async function feed({ records, cursor, missing = 0, unreadable = 0 }: ReadPage) {
    const counts = { records: records.length, unreadable, missing };
    const page = ledger.open({ ...counts, cursor: cursor ?? undefined, last: cursor === null });
    const number = report.pages;
    let left = records.length;

    async function offer(items: Item<R>[]) {
      const untaken = await lanes.offer(items, (item) => take(item, page));
      for (const item of items.slice(0, items.length - untaken)) left -= Array.isArray(item) ? item.length : 1;
    }

    try {
      for (let from = 0; from < records.length && !signal.aborted; from += CHECKED_AT_A_TIME) {
        const checking = accept(records.slice(from, from + CHECKED_AT_A_TIME), number, from);
        if (checking instanceof Promise && !batches.isEmpty() && !(await isSoon(checking)))
          await offer(batches.close());
        const checked = checking instanceof Promise ? await orAborted(checking, signal) : checking;
        const toDo = checked.filter((record) => !needsNothing(record, page));
        left -= checked.length - toDo.length;
        await offer(batches.put(toDo));
      }
      await offer(batches.close());
    } finally {
      ledger.leave(left);
    }
    if (left > 0) return;
    ledger.takenWhole(page);
    // Nothing follows the last page, so a deadline that comes now interrupts only what is in flight.
    if (page.last) listEnded = true;
  }

  /** Settles a record at once where the target needs no request for it. */
  function needsNothing(checked: Accepted<R> | Invalid, page: OpenPage): boolean {
    if ('faults' in checked) return false;
    const listed = page.cursor !== undefined || page.last;
    if (listed && options.isOutside?.(checked)) {
      ledger.leaveOut(page);
      return true;
    }
    ledger.note(page, checked.updatedAtMs);
    if (versions?.isKnown(checked)) {
      ledger.settle(page, 'unchanged');
      return true;
    }
    if (checked.as === 'unchanged') conclusions.done(checked, page);
    return checked.as === 'unchanged';
  }
}

const goesAlone = (item: Accepted<unknown> | Invalid) => 'faults' in item || item.write !== undefined;

/** Whether records are checked so soon that a batch waits for them. */
async function isSoon(checking: Promise<unknown>): Promise<boolean> {
  // Not by the module of promises: its abort makes an error each time, for nearly all of them.
  const late = Promise.withResolvers<boolean>();
  const timer = setTimeout(late.resolve, BATCH_WAIT_MS, false);
  try {
    return await Promise.race([checking.then(() => true), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
