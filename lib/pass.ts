import { hash } from 'node:crypto';
import type { Settings } from './config.ts';
import { instantAt } from './instant.ts';
import type { Log } from './log.ts';
import { newReport, type Report } from './report.ts';
import type { Window } from './source.ts';
import type { State } from './state.ts';

/**
 * One reading of the source from a window's beginning to its end, over as many invocations as it takes. It is what a
 * checkpoint holds.
 */
export interface Pass extends Window {
  /** The run that began it. */
  runId: string;
  startedAt: string;
  /** Whether it reads all there is, or what changed since the watermark. */
  full: boolean;
  /** Of what the cursor belongs to: with another source, window or style it means nothing. */
  fingerprint: string;
  /** Whether it reads single records, which the event names each time. */
  byIds?: boolean | undefined;
  /** Where the next invocation goes on: after the longest prefix of pages of which every record is settled. */
  cursor: string | null;
  /** Of those pages. */
  counts: Report;
  /** The source's own clock when the pass began. */
  sourceClock?: string | undefined;
  /** The newest `updatedAt` in those pages. */
  newest?: string | undefined;
  /** The earliest `updatedAt` of a failed record that no list holds: the watermark must stay before it. */
  holdBack?: string | undefined;
}

/** What the fingerprint is taken of. */
export interface Identity {
  sourceUrl: string;
  /** Of the paging: a cursor of one style means nothing to another. */
  style: string;
  shard: string;
}

/** Begins a pass over `window`. */
export function beginPass(
  identity: Identity,
  window: Window & { full: boolean },
  run: { runId: string; startedAt: string },
): Pass {
  return { ...window, ...run, fingerprint: fingerprintOf(identity, window), cursor: null, counts: newReport() };
}

/** Goes on with a saved pass, or begins the same window again where the saved cursor no longer fits. */
export function resumePass(saved: Pass, identity: Identity, log: Log): Pass {
  const fingerprint = fingerprintOf(identity, saved);
  if (saved.fingerprint === fingerprint) {
    log.info('resuming the pass of an earlier run', { pass: { runId: saved.runId, counts: saved.counts } });
    return { ...saved, counts: { ...saved.counts } };
  }
  log.warn('the source, the window or the paging is another one than the checkpoint’s: the same window starts over');
  return startOver(saved, fingerprint);
}

/** The same window from its beginning. */
export function startOver(pass: Pass, fingerprint: string = pass.fingerprint): Pass {
  const { since, until, full, byIds, runId, startedAt } = pass;
  return { since, until, full, byIds, runId, startedAt, fingerprint, cursor: null, counts: newReport() };
}

/**
 * What a tick without a checkpoint has to read: everything (from `INITIAL_SINCE` on) where the job is not incremental, at
 * its first pass and when a full pass is due; else what changed since the watermark.
 */
export function windowOfTick(
  watermark: State['watermark'],
  settings: Pick<Settings, 'initialSince' | 'fullEveryHours'>,
  incremental: boolean,
  nowMs: number,
): Window & { full: boolean } {
  if (!incremental) return { full: true };
  const everyMs = (settings.fullEveryHours ?? Number.POSITIVE_INFINITY) * 3_600_000;
  const fullDue = !watermark?.fullAt || nowMs - Date.parse(watermark.fullAt) >= everyMs;
  return watermark && !fullDue ? { since: watermark.at, full: false } : { since: settings.initialSince, full: true };
}

/**
 * Where the next pass begins after this one was completed: before the newest change seen, and before the source's clock
 * when the pass began, so that a record changed behind the reader is read next time and one dated 2099 ends nothing.
 * @returns undefined when the pass saw nothing: the watermark stays where it is
 */
export function watermarkAfter(pass: Pass, overlapSeconds: number): string | undefined {
  if (pass.newest === undefined) return;
  const ends = [pass.newest, pass.sourceClock ?? pass.startedAt];
  const earliestMs = Math.min(...ends.map((instant) => Date.parse(instant)));
  const watermark = instantAt(earliestMs - overlapSeconds * 1000);
  return pass.holdBack !== undefined && pass.holdBack < watermark ? pass.holdBack : watermark;
}

function fingerprintOf({ sourceUrl, style, shard }: Identity, { since, until }: Window): string {
  return hash('sha256', JSON.stringify([sourceUrl, style, shard, since ?? null, until ?? null])).slice(0, 16);
}
