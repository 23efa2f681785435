import { hash } from 'node:crypto';
import { EventError } from '../errors.ts';
import type { Backfill, Tick } from '../event.ts';
import type { Log } from '../log.ts';
import type { Window } from '../read/source.ts';
import { newReport } from '../report.ts';
import type { Job } from '../run/run.ts';
import type { Held } from '../run/work.ts';
import type { Settings } from '../settings/config.ts';
import { nameOfShard } from '../shard.ts';
import { instantAt } from '../time/instant.ts';
import type { Pass, State } from './state.ts';

/** The pass that this run goes on with, or begins. */
export function planPass<R>(job: Job<R>, request: Tick | Backfill, held: Held): Pass {
  const { settings, state, runId, startedAt, log } = held;
  const saved = request.kind === 'tick' ? state.checkpoint?.pass : state.backfillProgress?.pass;
  const { list } = job.source;
  const style =
    request.kind === 'backfill' && request.ids ? `ids ${request.ids.join('\n')}` : (list.style ?? list.name);
  const identity = { sourceUrl: settings.source.url, style, shard: nameOfShard(request.shard) };
  if (request.kind === 'backfill') checkResumedBackfill(request, saved);
  if (saved) return resumePass(saved, identity, log);
  const window =
    request.kind === 'tick'
      ? windowOfTick(state.watermark, settings, job.updatedAt !== undefined, Date.parse(startedAt))
      : { since: request.since, until: request.until, full: false };
  const byIds = request.kind === 'backfill' && request.ids !== undefined;
  return { ...beginPass(identity, window, { runId, startedAt }), byIds };
}

/** A backfill that names an earlier one must mean it: otherwise a slip of the pen would copy everything. */
function checkResumedBackfill({ backfillId, since, until, ids }: Backfill, saved: Pass | undefined) {
  if (backfillId === undefined) return;
  if (!saved && !(since || until || ids)) {
    throw new EventError(`there is no partial backfill ${backfillId}: it was completed, or it never began`);
  }
  if (saved && Boolean(saved.byIds) !== (ids !== undefined)) {
    throw new EventError(
      `backfill ${backfillId} ${saved.byIds ? 'is one of single records: name its ids again' : 'is not one of single records'}`,
    );
  }
  if (saved && ((since && since !== saved.since) || (until && until !== saved.until))) {
    const window = `${saved.since ?? 'the beginning'} until ${saved.until ?? 'the end'}`;
    throw new EventError(`backfill ${backfillId} is one from ${window}, not the one that the event describes`);
  }
}

/** What the fingerprint is taken of. */
interface Identity {
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
function resumePass(saved: Pass, identity: Identity, log: Log): Pass {
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
function windowOfTick(
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
