import { hash } from 'node:crypto';
import type { Backfill } from '../backfill-event.ts';
import { EventError } from '../errors.ts';
import type { Window } from '../job-types.ts';
import type { Log } from '../log.ts';
import { newReport } from '../report.ts';
import type { Pass } from './schemas.ts';

/** What a pass's cursor belongs to. */
export interface Identity {
  sourceUrl: string;
  /** The kind of paging: a cursor of one kind means nothing to another. */
  style: string;
  shard: string;
}

/** Begins a pass over `window`. */
export function beginPass(
  identity: Identity,
  window: Window & { full: boolean },
  run: { runId: string; startedAt: string },
): Pass {
  const { since, until, full } = window;
  return {
    since,
    until,
    full,
    ...run,
    fingerprint: fingerprintOf(identity, window),
    cursor: null,
    counts: newReport(),
    listed: { ordered: true, rises: 0, read: 0 },
  };
}

/** Goes on with a saved pass, or begins its window again where the saved cursor no longer fits. */
export function resumePass(saved: Pass, identity: Identity, log: Log): Pass {
  const fingerprint = fingerprintOf(identity, saved);
  if (saved.fingerprint === fingerprint) {
    log.info('resuming the pass of an earlier run', { pass: { runId: saved.runId, counts: saved.counts } });
    return saved;
  }
  log.warn('the source, the window or the paging is another one than the checkpoint’s: the same window starts over');
  return { ...startOver(saved), fingerprint };
}

/** The same window from its beginning. */
export function startOver(pass: Pass): Pass {
  const { since, until, full, byIds, runId, startedAt, fingerprint } = pass;
  const listed = { ordered: true, rises: 0, read: 0 };
  const begun = { since, until, full, byIds, runId, startedAt, fingerprint, cursor: null, counts: newReport(), listed };
  return { ...begun, again: (pass.again ?? 0) + 1 };
}

/**
 * Names a pass in idempotency keys. One that had to begin again has another name from then on: a record may have been what it is
 * now in an earlier run, and something else in between, which nobody remembers by then.
 */
export const nameOf = ({ runId, again }: Pick<Pass, 'runId' | 'again'>): string =>
  again === undefined ? runId : `${runId}.${again}`;

/**
 * Whether the list was settled to its end. What is read again then is all of it, which the same pass would count twice, and whose
 * contents may have become again what they were before its last run.
 */
export const hasReadAll = ({ cursor, listed }: Pick<Pass, 'cursor' | 'listed'>) =>
  cursor === null && (listed?.read ?? 0) > 0;

/**
 * Checks that a backfill that names an earlier one means it: otherwise a slip of the pen would copy everything.
 * @throws EventError
 */
export function checkResumedBackfill({ backfillId, since, until, ids }: Backfill, saved: Pass | undefined): void {
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

function fingerprintOf({ sourceUrl, style, shard }: Identity, { since, until }: Window): string {
  return hash('sha256', JSON.stringify([sourceUrl, style, shard, since ?? null, until ?? null])).slice(0, 16);
}
