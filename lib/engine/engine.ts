import type { StandardSchemaV1 } from '@standard-schema/spec';
import { Interrupted, TargetDownError, TargetError } from '../errors.ts';
import type { Pace } from '../http/pace.ts';
import type { Page } from '../read/source.ts';
import type { Problem, Report } from '../report.ts';
import { orAborted } from '../time/abort.ts';
import type { Write } from '../write/target.ts';
import { type Accepted, accepting, type Invalid } from './accept.ts';
import { openLanes } from './lanes.ts';

/** So many are checked and made ready at a time: enough to be fast, and too few to hold up the writes. */
const BATCH_RECORDS = 25;

/** How a pass ended: the list was read to its end, or why not. */
export type Ending = 'complete' | Interrupted['reason'];

export interface SyncOptions<R> {
  pages: AsyncIterable<Page>;
  schema: StandardSchemaV1<unknown, R>;
  id(record: R): string;
  /** Of what the write throws, a TargetError fails the record, Interrupted leaves it unsettled, anything else ends the run. */
  prepare(record: R): Write;
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
  /** When a record was changed at the source, in ms since 1970, or NaN where that cannot be made out. */
  updatedAtMs?: ((record: R) => number) | undefined;
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
  /** When its newest record was changed; -Infinity where no record tells. */
  newestMs: number;
}

/** A page of which records are still to settle; it holds no record, so a straggler keeps only itself. */
interface OpenPage extends SettledPage {
  open: number;
}

/** A record whose write has failed, until it is known whether that was its own fault or the target's. */
interface Failing<R> {
  record: R;
  id: string;
  page: OpenPage;
  reason: string;
  /** It was the record's fault, whatever the target is up to. */
  refused: boolean;
}

/**
 * Copies records from pages to writes with bounded concurrency and constant memory. As many lanes as writes are allowed
 * take one record after the other, so no page waits for the stragglers of the one before; the next page is fetched while
 * the current one is written. Records of the same id are written one after the other, in the order read.
 *
 * Everything in flight has settled when this returns or throws.
 * @throws what the pages threw, or what a write threw that concerns the run.
 */
export async function sync<R>(options: SyncOptions<R>): Promise<Ending> {
  const { closing, report, note } = options;
  const accept = accepting(options);
  /** The last one of each id that is being written; `over` is set by the one that waits for it. */
  const inFlight = new Map<string, { over?: () => void }>();
  const openPages: OpenPage[] = [];
  let writing = 0;
  let streak: Failing<R>[] = [];
  let ending: Ending = 'complete';
  let failure: { error: unknown } | undefined;
  let listEnded = false;
  const lanes = openLanes({ concurrency: options.concurrency, signal: closing.signal, failed: end });
  if (options.pace) options.pace.onChange = lanes.allow;

  function end(error: unknown) {
    if (error instanceof Interrupted) {
      if (ending === 'complete') ending = error.reason;
    } else {
      failure ??= { error };
    }
    closing.abort(error);
  }

  function settle(page: OpenPage) {
    page.open--;
    for (let first = openPages[0]; first?.open === 0; first = openPages[0]) {
      openPages.shift();
      options.pageSettled(first);
    }
  }

  function take(checked: Accepted<R> | Invalid, page: OpenPage) {
    report.read++;
    return 'faults' in checked ? leaveOut(checked, page) : writeInTurn(checked, page);
  }

  async function leaveOut({ id, faults, raw }: Invalid, page: OpenPage) {
    report.invalid++;
    page.invalid++;
    note({ id, kind: 'invalid', reason: faults });
    await options.recordInvalid(id, faults, raw);
    settle(page);
  }

  async function writeInTurn(accepted: Accepted<R>, page: OpenPage) {
    const { id, updatedAtMs } = accepted;
    if (updatedAtMs > page.newestMs) page.newestMs = updatedAtMs;
    const before = inFlight.get(id);
    const own: { over?: () => void } = {};
    inFlight.set(id, own);
    if (before) {
      await new Promise<void>((resolve) => {
        before.over = resolve;
      });
    }
    try {
      await writeRecord(accepted, page);
    } finally {
      if (inFlight.get(id) === own) inFlight.delete(id);
      own.over?.();
    }
  }

  async function writeRecord({ record, id, write }: Accepted<R>, page: OpenPage) {
    writing++;
    try {
      closing.signal.throwIfAborted();
      if (writing > report.peakInFlight) report.peakInFlight = writing;
      await write();
      // Before this one is told, because it may be one of them in a later version.
      if (streak.length > 0) blameRecords();
      report.written++;
      page.written++;
      options.recordWritten(id);
      settle(page);
    } catch (error) {
      if (!(error instanceof TargetError)) {
        report.unsettled++;
        end(error);
        return;
      }
      const failing = { record, id, page, reason: error.message, refused: error.refused };
      // What the target has not answered says nothing about it.
      if (error.refused && error.status === undefined) return fail(failing);
      streak.push(failing);
      // An answer that refuses the record shows that the target is up.
      if (error.refused) blameRecords();
      else if (streak.length >= options.failuresBeforeStop) blameTarget(error);
    } finally {
      writing--;
    }
  }

  /** The target is up, so what failed before has failed for good. */
  function blameRecords() {
    const blamed = streak;
    streak = [];
    for (const failing of blamed) fail(failing);
  }

  function fail({ record, id, page, reason, refused }: Failing<R>) {
    report.failed++;
    page.failed++;
    note({ id, kind: 'failed', reason });
    options.recordFailed(id, reason, record, refused);
    settle(page);
  }

  /** The streak stays unsettled, so that it is read again. */
  function blameTarget(cause: Error) {
    report.unsettled += streak.length;
    end(new TargetDownError(`${streak.length} records in a row failed, the last one so: ${cause.message}`, { cause }));
    streak = [];
  }

  /** Gives the lanes a page and resolves when they have taken all of it, or take no more. */
  async function feed({ records, cursor, missing = 0 }: Page) {
    const page: OpenPage = {
      cursor,
      // The page itself counts as one, so that it cannot settle before it is taken to its end.
      open: records.length + 1,
      newestMs: Number.NEGATIVE_INFINITY,
      read: records.length,
      written: 0,
      invalid: 0,
      failed: 0,
      missing,
    };
    report.pages++;
    report.missing += missing;
    openPages.push(page);
    let left = records.length;
    try {
      while (left > 0 && !closing.signal.aborted) {
        const from = records.length - left;
        const batch = records.slice(from, from + BATCH_RECORDS);
        const ready = await orAborted(accept(batch, report.pages, from), closing.signal);
        left -= ready.length - (await lanes.offer(ready, (checked) => take(checked, page)));
      }
    } finally {
      report.read += left;
      report.unsettled += left;
    }
    if (left === 0) settle(page);
  }

  const pages = options.pages[Symbol.asyncIterator]();
  const fetchPage = () => {
    const next = Promise.resolve(pages.next());
    // It may be given up while it waits its turn.
    next.catch(() => undefined);
    return next;
  };
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
  // The listing may hold something open. It is not waited for: what it still fetches ends with its client.
  Promise.resolve(pages.return?.()).catch(() => undefined);
  await lanes.end();
  if (failure?.error instanceof TargetDownError) report.unsettled += streak.length;
  else blameRecords();
  // A deadline that came while the last writes were finishing has interrupted nothing.
  if (closing.signal.aborted && !(listEnded && report.unsettled === 0)) end(closing.signal.reason);
  if (failure) throw failure.error;
  return ending;
}
