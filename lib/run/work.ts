import { keepCheckpoints } from '../copy/checkpoints.ts';
import { copy } from '../copy/copy.ts';
import { openDeadLetters } from '../copy/dead-letters.ts';
import { keepUnwritten } from '../copy/unwritten.ts';
import type { Ending } from '../engine/engine.ts';
import { FenceAheadError, NoProgressError, SolotickError, SupersededError } from '../errors.ts';
import type { Backfill, Tick } from '../event.ts';
import type { Budget } from '../lock/etcd.ts';
import type { Lock } from '../lock/mutex.ts';
import type { Problem, Report } from '../report.ts';
import type { Credentials } from '../settings/secrets.ts';
import { nameOfShard } from '../shard.ts';
import { MAX_ATTEMPTS, openFailures } from '../state/failures.ts';
import { finalState, progress, type RunUnderLock } from '../state/final-state.ts';
import { planPass } from '../state/pass.ts';
import type { RunRecord } from '../state/state.ts';
import { type Deadline, TO_REVOKE_AND_ANSWER_MS } from '../time/deadline.ts';
import type { Taken } from './acquire.ts';
import type { Invocation, Job, Result } from './run.ts';

/** What a run that holds the lock has in hand. */
export interface Held extends Invocation, Taken {
  runId: string;
  startedAt: string;
  deadline: Deadline;
  credentials: Credentials;
  /** Counts, kept by the caller so that an error does not lose them. */
  report: Report;
  /** Told of each answer 429 or 503. */
  throttled(): void;
}

/**
 * The run under the lock: plans the pass, copies it, saves checkpoints on the way, and leaves the final state in the
 * transaction that unlocks.
 * @throws the errors of `copy`, once what was reached by then is saved and the lock is released.
 */
export async function work<R>(job: Job<R>, request: Tick | Backfill, held: Held): Promise<Result> {
  const { settings, lock, session, deadline, state, runId, report, log, stop } = held;
  const problems: Problem[] = [];
  const pass = planPass(job, request, held);
  const saved = request.kind === 'tick' ? state.checkpoint : state.backfillProgress;
  const failures = openFailures(saved?.failed ?? [], request.kind === 'tick' ? MAX_ATTEMPTS : 1);
  // A save that is still under way at the cut is given up, so that the unlock gets what is left of the time.
  const running = AbortSignal.any([session.signal, deadline.cut]);
  const shard = request.shard && nameOfShard(request.shard);
  const known = state.checkpoint?.deadLettered ?? [];
  const deadLetters = openDeadLetters(known, { ...settings, runId, shard, log, signal: running });
  const run: RunUnderLock = { ...held, request, pass, failures, deadLetters };
  // For longer than a lease lives by itself: where etcd falls silent, the lock is what is lost, and where it only takes no
  // write, because it is full, the run ends all the same.
  const saving = () => ({ ...session.budget(), totalMs: settings.lockTtlSeconds * 1000, signal: running });
  const checkpoints = keepCheckpoints(pass, () => [progress(run)], lock, saving);
  const { again, giveUp, ...unwritten } = keepUnwritten(job, run);

  let ending: Ending;
  let failedIds: string[] = [];
  try {
    let fenced: Promise<Error> | undefined;
    const refused = () => {
      // Once for all who are refused at the same time.
      fenced ??= whyFenced(lock, saving());
      return fenced;
    };
    const fence = { token: lock.fencingToken, scope: settings.lockKey, refused };
    const { pageSettled, saveFailed } = checkpoints;
    const limits = { check: session.check, lost: session.signal, saveFailed, fence };
    ending = await copy(job, { ...run, problems, ...limits, ...unwritten, pageSettled }, again);
    await checkpoints.saved();
    failedIds = failures.list(true).map(({ id }) => id);
    // A backfill does not come back to what it could not write.
    await giveUp(report.written > 0 || (request.kind === 'backfill' && ending === 'complete'));
    if (ending !== 'complete' && checkpoints.settledPages() === 0 && !stop.aborted) {
      throw new NoProgressError(`the run ended (${ending}) before a single page was settled, so it would never get on`);
    }
  } catch (thrown) {
    // A job's code may throw anything.
    const error = thrown instanceof Error ? thrown : new Error(`the job threw ${String(thrown)}`, { cause: thrown });
    log.error('the run failed', { report });
    await conclude(run, 'failed', error).catch((cause) => log.warn('the failure was not recorded', { error: cause }));
    throw error;
  }
  const status = ending === 'complete' ? 'completed' : 'partial';
  await conclude(run, status);
  log.info(status, { report, pass: pass.counts });
  return {
    status,
    job: job.name,
    runId,
    fencingToken: lock.fencingToken,
    report,
    pass: pass.counts,
    ...(ending !== 'complete' && { reason: ending }),
    ...(request.kind === 'backfill' && { backfillId: request.backfillId ?? runId }),
    ...(request.kind === 'backfill' && failedIds.length > 0 && { failedIds }),
    ...(problems.length > 0 && { problems }),
  };
}

/** Frees the lock and leaves the final state, in one transaction. */
function conclude(run: RunUnderLock, status: RunRecord['status'], error?: Error): Promise<void> {
  const { request, runId, startedAt, lock, session, deadline, pass, report } = run;
  const endedMs = Date.now();
  // The clock may have been set back meanwhile.
  report.durationMs = Math.max(0, endedMs - Date.parse(startedAt));
  pass.counts.durationMs += report.durationMs;
  pass.counts.peakInFlight = Math.max(pass.counts.peakInFlight, report.peakInFlight);
  const last: RunRecord = {
    runId,
    kind: request.kind,
    status,
    startedAt,
    endedAt: new Date(endedMs).toISOString(),
    fencingToken: lock.fencingToken,
    report,
    ...(error && { error: told(error) }),
  };
  const { totalMs, ...budget } = session.budget();
  const leftMs = deadline.endsInMs();
  const unlockMs = Math.min(totalMs, Math.max(leftMs / 2, leftMs - TO_REVOKE_AND_ANSWER_MS));
  return lock.unlock(finalState(run, last), { ...budget, totalMs: unlockMs });
}

function told(error: Error): NonNullable<RunRecord['error']> {
  const { name, message } = error;
  return { name: `${name}`, code: error instanceof SolotickError ? error.code : 'UNKNOWN', message: `${message}` };
}

/** The target has seen a higher token than ours: either a later holder's, or one from before etcd's revisions went back. */
async function whyFenced(lock: Lock, budget: Budget): Promise<Error> {
  if (!(await lock.isOwner(budget))) {
    return new SupersededError('the target has seen the token of a later run: the lock was lost and taken over');
  }
  return new FenceAheadError(
    `the target has seen a fencing token higher than ${lock.fencingToken}, although the lock is ours: etcd's revisions ` +
      'went back, as after a restore from a snapshot. Restore it with "etcdutl snapshot restore --bump-revision … ' +
      '--mark-compacted", or let the target forget the highest token of this scope',
  );
}
