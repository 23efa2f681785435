import type { Report, SettledPage } from '../report.ts';
import { startOver } from './pass.ts';
import type { Pass } from './state.ts';

/** A pass while a run copies it. Nothing else changes a pass. */
export interface PassUnderWay {
  /** The pass as it would be saved now. */
  current(): Readonly<Pass>;
  pageSettled(page: SettledPage): void;
  /** The number of pages that this run has settled. */
  settledPages(): number;
  /** The source no longer takes the cursor, so the window begins again. Called before this run has settled a page. */
  startOver(): void;
  /** Notes the source's clock; the first one counts. */
  sourceClock(clock: string | undefined): void;
  /** A failed record that no list holds changed then: the watermark has to stay before it. */
  holdBack(updatedAt: string): void;
  /** Adds what only the end of a run knows. */
  runEnded(report: Pick<Report, 'durationMs' | 'peakInFlight'>): void;
}

export function openPass(begun: Pass): PassUnderWay {
  let pass: Pass = { ...begun, counts: { ...begun.counts } };
  let settledPages = 0;
  return {
    current: () => pass,
    pageSettled({ cursor, last, newestMs, ...counts }) {
      // From here on the end of the pass is saved; where that fails, the window begins again.
      if (last) pass.cursor = null;
      else if (cursor !== undefined) pass.cursor = cursor;
      for (const name of ['read', 'written', 'invalid', 'failed', 'missing'] as const)
        pass.counts[name] += counts[name];
      pass.counts.pages++;
      settledPages++;
      const knownMs = pass.newest === undefined ? Number.NEGATIVE_INFINITY : Date.parse(pass.newest);
      if (newestMs > knownMs) pass.newest = new Date(newestMs).toISOString();
    },
    settledPages: () => settledPages,
    startOver() {
      // The clock and what holds the watermark back still count: they are of the same window.
      pass = { ...pass, ...startOver(pass) };
    },
    sourceClock(clock) {
      if (clock !== undefined) pass.sourceClock ??= clock;
    },
    holdBack(updatedAt) {
      if (!(pass.holdBack && pass.holdBack <= updatedAt)) pass.holdBack = updatedAt;
    },
    runEnded({ durationMs, peakInFlight }) {
      pass.counts.durationMs += durationMs;
      pass.counts.peakInFlight = Math.max(pass.counts.peakInFlight, peakInFlight);
    },
  };
}
