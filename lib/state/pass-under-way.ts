import { instantAt } from '../instant.ts';
import { COUNTS, type Report, SETTLED_COUNTS, type SettledPage } from '../report.ts';
import { startOver } from './pass.ts';
import type { Pass } from './schemas.ts';

/** A pass while a run copies it. Nothing else changes a pass. */
export interface PassUnderWay {
  /** The pass as it would be saved now. */
  current(): Readonly<Pass>;
  pageSettled(page: SettledPage): void;
  /** The number of pages that this run has settled. */
  settledPages(): number;
  /**
   * From when to read where the source no longer takes the cursor: where the list is ordered by time, the settled part of the
   * window is left out, but for the overlap.
   */
  restartsAt(): string | undefined;
  /**
   * The source no longer takes the cursor, so the pass begins again there. Called before this run has settled a page of the
   * list; what it has read by id stays counted.
   */
  startOver(): void;
  /** Whether the pass has got further than where it had to begin again. */
  advanced(): boolean;
  /** Notes the source's clock; the first one counts. */
  sourceClock(clock: string | undefined): void;
  /** A failed record that no list holds changed then: the watermark has to stay before it. */
  holdBack(updatedAt: string): void;
  /** A record has changed once more while the pass writes it. At least the last 500 of them are kept, by hashes of their ids. */
  changed(idHash: string, version: { count: number; content: number }): void;
  /** Records that have vanished from the source were removed. */
  removed(records: number): void;
  /** Adds what only the end of a run knows. */
  runEnded(report: Pick<Report, 'durationMs' | 'peakInFlight'>): void;
}

/** With a hash of the id and one of the content each, they take 40 kB of a checkpoint. */
const MAX_CHANGES = 1000;

/** A list in another order rises so often in a row by chance once in 40 million times. */
const RISES_OF_AN_ORDER = 10;

export function openPass(begun: Pass, overlapSeconds: number): PassUnderWay {
  let pass: Pass = { ...begun, counts: { ...begun.counts }, ...(begun.changes && { changes: { ...begun.changes } }) };
  let changesKept = Object.keys(pass.changes ?? {}).length;
  let settledPages = 0;

  function restartsAt(): string | undefined {
    const { since, listed, restart, byIds } = pass;
    if (!listed?.ordered || byIds) return since;
    const from = restart ? restart.since : since;
    // A few records may be in order by chance, and older ones behind them would be lost.
    if (listed.newest === undefined || listed.rises < RISES_OF_AN_ORDER) return from;
    const settled = instantAt(Date.parse(listed.newest) - overlapSeconds * 1000);
    // Records of nearly one moment look ordered in any list. In an ordered one, nothing is left out by a restart there.
    if (settled <= (listed.oldest ?? listed.newest)) return from;
    return from !== undefined && from > settled ? from : settled;
  }

  function listSettled({ read, ordered, rises, oldestMs, newestMs }: SettledPage) {
    const before = pass.listed ?? { ordered: false, rises: 0, read: 0 };
    // The first record of a page is a rise only where it changed later than the page before.
    const goesOn = before.newest !== undefined && oldestMs > msSince(before.newest);
    pass.listed = {
      ordered: before.ordered && ordered && oldestMs >= msSince(before.newest),
      rises: before.rises + (goesOn ? rises : Math.max(0, rises - 1)),
      oldest: before.oldest ?? (oldestMs < Number.POSITIVE_INFINITY ? instantAt(oldestMs) : undefined),
      newest: later(before.newest, newestMs),
      read: before.read + read,
    };
  }

  return {
    current: () => pass,
    restartsAt,
    pageSettled(page) {
      const { cursor, last, newestMs } = page;
      // From here on the end of the pass is saved; where that fails, the window begins again.
      if (last) pass.cursor = null;
      else if (cursor !== undefined) pass.cursor = cursor;
      for (const name of SETTLED_COUNTS) pass.counts[name] += page[name];
      if (page.outside) pass.counts.outside = (pass.counts.outside ?? 0) + page.outside;
      pass.counts.pages++;
      settledPages++;
      pass.newest = later(pass.newest, newestMs);
      if (last || cursor !== undefined) listSettled(page);
    },
    settledPages: () => settledPages,
    startOver() {
      const { counts, listed } = pass;
      const read = Math.max(listed?.read ?? 0, pass.restart?.read ?? 0);
      const newest = [listed?.newest ?? '', pass.restart?.newest ?? ''].sort()[1] || undefined;
      const restart = { read, newest, since: restartsAt() };
      // The clock and what holds the watermark back still count: they are of the same window.
      pass = { ...pass, ...startOver(pass), restart };
      for (const name of COUNTS) pass.counts[name] = counts[name] - begun.counts[name];
      const outside = (counts.outside ?? 0) - (begun.counts.outside ?? 0);
      if (outside > 0) pass.counts.outside = outside;
    },
    advanced() {
      const { restart, listed, since } = pass;
      if (!restart) return true;
      if (restart.since === since) return (listed?.read ?? 0) > restart.read;
      return (listed?.newest ?? '') > (restart.newest ?? '');
    },
    sourceClock(clock) {
      if (clock !== undefined) pass.sourceClock ??= clock;
    },
    holdBack(updatedAt) {
      if (!(pass.holdBack && pass.holdBack <= updatedAt)) pass.holdBack = updatedAt;
    },
    changed(idHash, { count, content }) {
      pass.changes ??= {};
      const { changes } = pass;
      if (!changes[idHash]) changesKept++;
      // Changed last, dropped last.
      delete changes[idHash];
      changes[idHash] = [count, content];
      if (changesKept <= MAX_CHANGES) return;
      // Many at a time, because to drop one takes as long.
      pass.changes = Object.fromEntries(Object.entries(changes).slice(-MAX_CHANGES / 2));
      changesKept = MAX_CHANGES / 2;
    },
    removed(records) {
      pass.counts.removed += records;
    },
    runEnded({ durationMs, peakInFlight }) {
      pass.counts.durationMs += durationMs;
      pass.counts.peakInFlight = Math.max(pass.counts.peakInFlight, peakInFlight);
    },
  };
}

const msSince = (instant: string | undefined) =>
  instant === undefined ? Number.NEGATIVE_INFINITY : Date.parse(instant);

const later = (instant: string | undefined, ms: number) =>
  ms > msSince(instant) ? new Date(ms).toISOString() : instant;
