import type { StandardSchemaV1 } from '@standard-schema/spec';
import pLimit from 'p-limit';
import { orAborted } from './abort.ts';
import { accepting, nameOf } from './accept.ts';
import { Interrupted, TargetDownError, TargetError } from './errors.ts';
import type { Pace } from './pace.ts';
import type { Problem, Report } from './report.ts';
import type { Page } from './source.ts';

/** How a pass ended: the list was read to its end, or why not. */
export type Ending = 'complete' | Interrupted['reason'];

export interface SyncOptions<R> {
  pages: AsyncIterable<Page>;
  schema: StandardSchemaV1<unknown, R>;
  id(record: R): string;
  /** Writes one record. A TargetError fails the record, Interrupted leaves it unsettled, anything else ends the run. */
  write(record: R): Promise<void>;
  /** The most writes in flight at any moment. */
  concurrency: number;
  /** Tells when fewer are allowed for a while. */
  pace?: Pace;
  /** Fires when nothing new may start; aborted by the engine itself when the run has to end. */
  closing: AbortController;
  /** Counts, kept by the caller so that an error does not lose them. */
  report: Report;
  /** Told of every record that is not written. */
  note(problem: Problem): void;
  /** When a record was changed at the source, in `toISOString()`'s form; for the newest one of each page. */
  updatedAt?: ((record: R) => string | undefined) | undefined;
  /** So many records in a row that no attempt got through mean that the target is down. */
  failuresBeforeStop: number;
  /** Told of every record that is written. */
  recordWritten(id: string): void;
  /** Told of every record that is not of the schema; its page is not settled before a promise is, which never rejects. */
  recordInvalid(id: string, reason: string, raw: unknown): Promise<void> | undefined;
  /** Told of every record that has failed for good. */
  recordFailed(id: string, reason: string, record: R, refused: boolean): void;
  /** Told when another page is settled and so are all before it: a resumed run may begin at its cursor. */
  pageSettled(page: SettledPage): void;
}

export interface SettledPage {
  /** Of the page after it. */
  cursor: Page['cursor'];
  read: number;
  written: number;
  invalid: number;
  failed: number;
  missing: number;
  newest: string | undefined;
}

/** A page of which records are still to settle; it holds no record, so a straggler keeps only itself. */
interface OpenPage extends SettledPage {
  number: number;
  open: number;
}

/** A record that no attempt got through, until it is known whether that was the record's fault or the target's. */
interface Unreached<R> {
  record: R;
  id: string;
  page: OpenPage;
  reason: string;
  /** The target has answered, and it was the record's fault. */
  refused: boolean;
}

/**
 * Copies records from pages to writes with bounded concurrency and constant memory. The next page is fetched while the
 * current one is written; a record starts as soon as any write has finished, so no page waits for the stragglers of the
 * one before. Records of the same id are written one after the other, in the order read.
 *
 * Everything in flight has settled when this returns or throws.
 * @throws what the pages threw, or what a write threw that concerns the run.
 */
export async function sync<R>(options: SyncOptions<R>): Promise<Ending> {
  const { write, closing, report, note } = options;
  const accept = accepting(options);
  const limit = pLimit(options.concurrency);
  const inFlight = new Map<string, Promise<void>>();
  const openPages: OpenPage[] = [];
  let streak: Unreached<R>[] = [];
  let wake = () => {};
  if (options.pace) {
    options.pace.onChange = (concurrency) => {
      limit.concurrency = concurrency;
      wake();
    };
  }
  let ending: Ending = 'complete';
  let failure: { error: unknown } | undefined;
  let listEnded = false;

  function end(error: unknown) {
    if (error instanceof Interrupted) {
      if (ending === 'complete') ending = error.reason;
    } else {
      failure ??= { error };
    }
    closing.abort(error);
  }

  /** Resolves when a write has finished; only the feeding loop below waits. */
  const oneFinished = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });

  function settle(page: OpenPage) {
    page.open--;
    for (let first = openPages[0]; first?.open === 0; first = openPages[0]) {
      openPages.shift();
      options.pageSettled(first);
    }
  }

  async function attempt(record: R, id: string, page: OpenPage, earlier: Promise<void> | undefined) {
    try {
      if (earlier) await earlier;
      closing.signal.throwIfAborted();
      report.peakInFlight = Math.max(report.peakInFlight, limit.activeCount);
      await write(record);
      report.written++;
      page.written++;
      options.recordWritten(id);
      settle(page);
      if (streak.length > 0) blameRecords();
    } catch (error) {
      if (!(error instanceof TargetError)) {
        report.unsettled++;
        end(error);
        return;
      }
      streak.push({ record, id, page, reason: error.message, refused: error.refused });
      // An answer that refuses the record shows that the target is up.
      if (error.refused) blameRecords();
      else if (streak.length >= options.failuresBeforeStop) blameTarget(error);
    }
  }

  /** The target is up, so what failed before has failed for good. */
  function blameRecords() {
    for (const { record, id, page, reason, refused } of streak) {
      report.failed++;
      page.failed++;
      note({ id, kind: 'failed', reason });
      options.recordFailed(id, reason, record, refused);
      settle(page);
    }
    streak = [];
  }

  /** The streak stays unsettled, so that it is read again. */
  function blameTarget(cause: Error) {
    report.unsettled += streak.length;
    end(new TargetDownError(`${streak.length} records in a row failed, the last one so: ${cause.message}`, { cause }));
    streak = [];
  }

  function start(record: R, id: string, page: OpenPage) {
    const task = limit(attempt, record, id, page, inFlight.get(id));
    inFlight.set(id, task);
    task.then(() => {
      if (inFlight.get(id) === task) inFlight.delete(id);
      wake();
    });
  }

  async function feed({ records, cursor, missing = 0 }: Page) {
    const page: OpenPage = {
      ...{ cursor, number: ++report.pages, open: records.length + 1, newest: undefined },
      ...{ read: records.length, written: 0, invalid: 0, failed: 0, missing },
    };
    report.missing += missing;
    openPages.push(page);
    for (const [index, raw] of records.entries()) {
      while (limit.activeCount >= limit.concurrency && !closing.signal.aborted) await oneFinished();
      if (closing.signal.aborted) {
        const left = records.length - index;
        report.read += left;
        report.unsettled += left;
        return;
      }
      const checked = await accept(raw);
      if ('faults' in checked) {
        report.invalid++;
        page.invalid++;
        const id = nameOf(raw, page.number, index);
        note({ id, kind: 'invalid', reason: checked.faults });
        const told = options.recordInvalid(id, checked.faults, raw);
        if (!told) settle(page);
        else {
          limit(() => told).then(() => {
            settle(page);
            wake();
          });
        }
      } else {
        const { record, id, updatedAt } = checked;
        if (updatedAt !== undefined && !(page.newest && page.newest >= updatedAt)) page.newest = updatedAt;
        start(record, id, page);
      }
      report.read++;
    }
    // The page itself counted as one, so that it could not settle before it was read to its end.
    settle(page);
  }

  const pages = options.pages[Symbol.asyncIterator]();
  const fetchPage = () => {
    const next = Promise.resolve(pages.next());
    // It may be given up while it waits its turn.
    next.catch(() => undefined);
    return next;
  };
  const wakeUp = () => wake();
  closing.signal.addEventListener('abort', wakeUp);
  try {
    for (let next = fetchPage(); ; ) {
      const { done, value: page } = await orAborted(next, closing.signal);
      if (done) {
        listEnded = true;
        break;
      }
      // At the end of the list this asks a generator that has ended, which costs nothing.
      next = fetchPage();
      await feed(page);
      if (closing.signal.aborted) break;
    }
  } catch (error) {
    end(error);
  }
  closing.signal.removeEventListener('abort', wakeUp);
  // The listing may hold something open. It is not waited for: what it still fetches ends with its client.
  Promise.resolve(pages.return?.()).catch(() => undefined);
  while (limit.activeCount > 0) await oneFinished();
  if (failure?.error instanceof TargetDownError) report.unsettled += streak.length;
  else blameRecords();
  // A deadline that came while the last writes were finishing has interrupted nothing.
  if (closing.signal.aborted && !(listEnded && report.unsettled === 0)) end(closing.signal.reason);
  if (failure) throw failure.error;
  return ending;
}
