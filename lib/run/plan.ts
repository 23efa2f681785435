import type { Backfill } from '../backfill-event.ts';
import type { Tick } from '../event.ts';
import type { Job } from '../job-types.ts';
import type { Log } from '../log.ts';
import { nameOfShard } from '../shard.ts';
import { checkAttached } from '../state/detached.ts';
import { beginPass, checkResumedBackfill, hasReadAll, type Identity, resumePass } from '../state/pass.ts';
import type { Pass } from '../state/schemas.ts';
import type { State } from '../state/state.ts';
import { windowOfTick } from '../state/watermark.ts';

/**
 * The pass that this run begins, or goes on with.
 * @throws EventError for a backfill that names an earlier one and does not fit it
 */
export function planPass<R>(
  job: Job<R>,
  request: Tick | Backfill,
  options: {
    state: Pick<State, 'checkpoint' | 'backfillProgress' | 'watermark' | 'removals'>;
    settings: { source: { url: string }; initialSince: string | undefined; fullEveryHours: number | undefined };
    runId: string;
    startedAt: string;
    log: Log;
  },
): Pass {
  const { state, settings, runId, startedAt, log } = options;
  const saved = request.kind === 'tick' ? state.checkpoint?.pass : state.backfillProgress?.pass;
  const identity: Identity = {
    sourceUrl: settings.source.url,
    style: styleOf(job, request),
    shard: nameOfShard(request.shard),
  };
  // What a step of a detached backfill asks for comes from its own state.
  if (request.kind === 'backfill' && request.step === undefined) {
    checkAttached(request, state.backfillProgress);
    checkResumedBackfill(request, saved);
  }
  if (saved && hasReadAll(saved)) {
    log.info('an earlier run has read all of its pass and did not end it: its window begins again, as a new pass');
    return { ...beginPass(identity, saved, { runId, startedAt }), byIds: saved.byIds };
  }
  if (saved) return resumePass(saved, identity, log);
  if (request.kind === 'backfill') {
    const window = { since: request.since, until: request.until, full: false };
    return { ...beginPass(identity, window, { runId, startedAt }), byIds: request.ids !== undefined };
  }
  const nowMs = Date.parse(startedAt);
  const at = state.watermark?.at;
  if (at !== undefined && Date.parse(at) > nowMs) {
    log.warn(`the watermark ${at} is in the future, so it is not believed: everything is read`);
  }
  // Only a full pass finds the removals that were approved.
  const isApproved = state.removals?.approvedUpTo !== undefined;
  const window = windowOfTick(isApproved ? undefined : state.watermark, {
    incremental: job.updatedAt !== undefined,
    initialSince: settings.initialSince,
    fullEveryHours: settings.fullEveryHours,
    nowMs,
  });
  return { ...beginPass(identity, window, { runId, startedAt }), byIds: false };
}

/** What the cursor of a request means: a place in the list, or one of its ids. */
function styleOf<R>(job: Job<R>, request: Tick | Backfill): string {
  if (request.kind === 'backfill' && request.ids) return `ids ${request.ids.join('\n')}`;
  const { list } = job.source;
  return list.style ?? list.name;
}
