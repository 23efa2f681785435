import type { Backfill } from '../backfill-event.ts';
import { type Copied, copy, endedBy } from '../copy/copy.ts';
import type { Ending } from '../engine/ending.ts';
import { NoProgressError } from '../errors.ts';
import type { Tick } from '../event.ts';
import type { Job } from '../job-types.ts';
import type { Log } from '../log.ts';
import type { Report } from '../report.ts';
import type { Settings } from '../settings/config.ts';
import type { Credentials } from '../settings/secrets.ts';
import type { PassUnderWay } from '../state/pass-under-way.ts';
import type { Places } from '../state/places.ts';
import { deleteRecent } from '../state/state.ts';
import { unpackWaiting } from '../state/waiting.ts';
import type { Deadline } from '../time/deadline.ts';
import type { Taken } from './acquire.ts';
import type { Chain } from './detached/chain.ts';
import { whyFenced } from './fenced.ts';
import { type Keeping, openKeeping } from './keeping.ts';
import { leavingOf } from './leaving.ts';
import type { Observed } from './observed.ts';
import { quotaOf } from './quota.ts';
import { approvalLeft, comparesAll, removalsAfter } from './removals-after.ts';
import type { Result } from './result.ts';

/** What a run that holds the lock works with. */
export interface Work<R> {
  job: Job<R>;
  request: Tick | Backfill;
  runId: string;
  startedMs: number;
  settings: Settings;
  places: Places;
  taken: Taken;
  deadline: Deadline;
  credentials: Credentials;
  /** Receives the counts; the caller keeps it, so that an error does not lose them. */
  report: Report;
  /** Set where the run is a step of a detached backfill. */
  chain?: Chain | undefined;
  /** Receives what else becomes known on the way. */
  observed: Observed;
  log: Log;
  /** Aborts when the process is asked to end. */
  stop: AbortSignal;
}

/**
 * The run under the lock: plans the pass, copies it, saves checkpoints on the way, and leaves the final state in the
 * transaction that unlocks.
 * @throws the errors of `copy`, once what was reached by then is saved and the lock is released.
 */
export async function work<R>(running: Work<R>): Promise<Result> {
  const { job, request, runId, startedMs, settings, places, taken, deadline, report, observed, log } = running;
  const keeping = openKeeping({
    ...{ job, request, runId, startedMs, settings, places, taken, deadline, report, log },
    leavingOf: (pass) => leavingOf(running, pass),
  });
  const { pass, division, failures, checkpoints, conclude, problems } = keeping;
  let copied: Copied;
  let failedIds: string[];
  try {
    // Where the source lags, a backfill may write older versions than the last tick has left; the next tick writes over them.
    const forgets = request.kind === 'backfill' ? [deleteRecent(places.statePrefix)] : [];
    const cancelled = await keeping.begin(division.put ? [division.put, ...forgets] : forgets);
    copied = cancelled ? endedBy(cancelled) : await copyUnderLock(running, keeping);
    await checkpoints.saved();
    failedIds = failures.list(true).map(({ id }) => id);
    // A backfill does not come back to what it could not write.
    await keeping.giveUp(report.written > 0 || (request.kind === 'backfill' && copied.ending === 'complete'));
    if (copied.ending !== 'complete') checkProgress(pass, copied.ending, running.stop);
  } catch (thrown) {
    // A job's code may throw anything.
    const error = thrown instanceof Error ? thrown : new Error(`the job threw ${String(thrown)}`, { cause: thrown });
    log.error('the run failed', { report });
    await conclude('failed', { error, ...approvalLeft(running) })
      .then((wanted) => {
        observed.wanted = wanted;
      })
      .catch((cause) => log.warn('the failure was not recorded', { error: cause }));
    throw error;
  }
  warnOfTimesToCome(pass, log);
  const { ending, interrupted } = copied;
  const status = ending === 'complete' ? 'completed' : 'partial';
  const quota = quotaOf(interrupted);
  const { removals } = copied.vanished;
  const left = removalsAfter(running, pass, copied);
  observed.wanted = await conclude(status, { interrupted, quota, ...left });
  observed.removalsLetThrough = left.removals === 'none';
  const { counts } = pass.current();
  log.info(interrupted ? `partial (${ending}): ${interrupted.message}` : status, { report, pass: counts });
  return {
    ...{ status, job: job.name, runId, fencingToken: taken.lock.fencingToken, report, pass: counts },
    ...(ending !== 'complete' && { reason: ending }),
    ...(interrupted && { message: interrupted.message }),
    ...(quota && { notBefore: quota.until }),
    ...(typeof removals === 'object' && { removalsWithheld: removals.withheld }),
    ...(request.kind === 'backfill' && { backfillId: request.backfillId ?? runId }),
    ...(request.kind === 'backfill' && failedIds.length > 0 && { failedIds }),
    ...(problems.length > 0 && { problems }),
  };
}

function copyUnderLock<R>(running: Work<R>, keeping: Keeping<R>): Promise<Copied> {
  const { job, request, settings, places, taken, deadline, credentials, report, observed, log } = running;
  const { session, lock } = taken;
  const { pass, division, failures, outcomes, versions, checkpoints, saving } = keeping;
  const byHand = request.kind === 'backfill' ? request : undefined;
  // A run that only goes on with a tick's pass leaves the failed records to the later ticks.
  const continues = request.kind === 'tick' && request.continues !== undefined;
  return copy({
    ...{ job, settings, credentials, pass, report, outcomes, versions, log },
    throttled: () => observed.throttles++,
    concurrency: byHand?.concurrency ?? settings.concurrency,
    ids: byHand?.ids,
    shard: request.shard,
    removals: comparesAll(request, pass)
      ? {
          maxPercent: settings.maxRemovalsPercent,
          approvedUpTo: taken.state.removals?.approvedUpTo,
          shards: settings.shards,
          waiting: unpackWaiting(taken.state.waiting?.ids),
          removed(records) {
            observed.vanishedRemoved = records;
          },
        }
      : undefined,
    failedBefore: job.source.one && !continues ? failures.due() : [],
    fence: {
      token: lock.fencingToken,
      scope: places.lockKey,
      oldScopes: division.openScopes,
      oldScopesClosed: division.closed,
      refused: whyFenced(lock, saving),
    },
    stops: { check: session.check, deadline, lost: session.signal, saveFailed: checkpoints.saveFailed },
    pageSettled(page) {
      pass.pageSettled(page);
      checkpoints.pageSettled(page);
      observed.settledPages++;
    },
  });
}

/** @throws NoProgressError where other runs like this one would never come to the end of the pass */
function checkProgress(pass: PassUnderWay, ending: Ending, stop: AbortSignal): void {
  // A process that is asked to end may have had no time for a page, and a server that throttles will not do so for ever.
  if (ending === 'cancelled' || (pass.settledPages() === 0 && (stop.aborted || ending === 'throttled'))) return;
  if (pass.settledPages() === 0) {
    throw new NoProgressError(`the run ended (${ending}) before a single page was settled, so it would never get on`);
  }
  if (pass.advanced()) return;
  throw new NoProgressError(
    `the run ended (${ending}) no further than the pass had been before the source refused its cursor: unless a run gets ` +
      'further, the pass never ends. Let the function run longer, or let its ticks follow each other sooner (CONTINUE=self)',
  );
}

/** Warns where a time is more than a minute ahead of our clock. The watermark passes neither; one of the clocks is wrong. */
function warnOfTimesToCome(pass: PassUnderWay, log: Log): void {
  const soon = new Date(Date.now() + 60_000).toISOString();
  const { newest = '', sourceClock = '' } = pass.current();
  if (newest > soon) log.warn(`a record says that it changed in the future: ${newest}`);
  if (sourceClock > soon) log.warn(`the clock of the source is ahead of ours: ${sourceClock}`);
}
