import { instantAt } from '../instant.ts';
import type { Pass } from './schemas.ts';
import type { State } from './state.ts';

/**
 * What a tick without a checkpoint reads: everything (from `initialSince` on) where the job is not incremental, at its first
 * pass and when a full pass is due; otherwise what changed since the watermark. A watermark in the future is not believed.
 */
export function windowOfTick(
  watermark: State['watermark'],
  options: {
    incremental: boolean;
    initialSince: string | undefined;
    fullEveryHours: number | undefined;
    nowMs: number;
  },
): { since?: string | undefined; full: boolean } {
  const { incremental, initialSince, fullEveryHours = Number.POSITIVE_INFINITY, nowMs } = options;
  if (!incremental) return { full: true };
  const fullAgeMs = nowMs - Date.parse(watermark?.fullAt ?? '');
  // NaN and a time in the future: nobody knows when it was.
  const fullDue = !(fullAgeMs >= 0) || fullAgeMs >= fullEveryHours * 3_600_000;
  return watermark && !fullDue && Date.parse(watermark.at) <= nowMs
    ? { since: watermark.at, full: false }
    : { since: initialSince, full: true };
}

/**
 * Where the next pass begins after this one was completed: before the newest change seen, and before the source's clock and
 * ours when the pass began. So a record that changed behind the reader is read next time, and neither a record dated 2099 nor
 * a source whose clock is ahead ends the timer's work.
 * @returns undefined when the pass saw nothing: the watermark stays where it is
 */
export function watermarkAfter(pass: Pass, overlapSeconds: number): string | undefined {
  if (pass.newest === undefined) return;
  const ends = [pass.newest, pass.sourceClock ?? pass.startedAt, pass.startedAt];
  const earliestMs = Math.min(...ends.map((instant) => Date.parse(instant)));
  const watermark = instantAt(earliestMs - overlapSeconds * 1000);
  return pass.holdBack !== undefined && pass.holdBack < watermark ? pass.holdBack : watermark;
}
