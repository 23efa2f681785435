import { keepCheckpoints } from '../copy/checkpoints.ts';
import { copy } from '../copy/copy.ts';
import { type DeadLetters, openDeadLetters } from '../copy/dead-letters.ts';
import { keepUnwritten } from '../copy/unwritten.ts';
import type { Ending } from '../engine/ending.ts';
import { NoProgressError } from '../errors.ts';
import type { Backfill, Tick } from '../event.ts';
import type { Job } from '../job.ts';
import type { Log } from '../log.ts';
import { type Problem, problemNotes, type Report } from '../report.ts';
import type { Settings } from '../settings/config.ts';
import type { Credentials } from '../settings/secrets.ts';
import { nameOfShard } from '../shard.ts';
import { type Failures, openFailures, RUNS_BEFORE_GIVING_UP } from '../state/failures.ts';
import { openPass } from '../state/pass-under-way.ts';
import type { Places } from '../state/places.ts';
import type { State } from '../state/state.ts';
import type { Deadline } from '../time/deadline.ts';
import type { Taken } from './acquire.ts';
import { openConclusion } from './conclude.ts';
import { whyFenced } from './fenced.ts';
import { planPass } from './plan.ts';
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
  /** Called for each answer 429 or 503. */
  throttled(): void;
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
  const { job, request, runId, startedMs, settings, places, taken, deadline, report, log, stop } = running;
  const { session, lock, state } = taken;
  const startedAt = new Date(startedMs).toISOString();
  const { statePrefix, lockKey: scope } = places;
  const pass = openPass(planPass(job, request, { state, settings, runId, startedAt, log }));
  const failures = failuresBefore(request, state);
  // A save that is under way at the cut is given up, so that the unlock gets what is left of the time.
  const signal = AbortSignal.any([session.signal, deadline.cut]);
  // A full TTL outlives the lease: if etcd goes silent we report a lost lock; if it is full, the run still ends.
  const saving = () => ({ ...session.budget(), totalMs: settings.lockTtlSeconds * 1000, signal });
  const deadLetters = openDeadLetters({
    url: settings.deadLetterQueueUrl,
    known: state.checkpoint?.deadLettered ?? [],
    origin: { job: settings.job, stage: settings.stage, shard: request.shard && nameOfShard(request.shard), runId },
    log,
    signal,
  });
  const reached = () => ({
    pass: pass.current(),
    failed: failures.list(report.written > 0),
    deadLettered: deadLetters.known(),
  });
  const { watermarkOverlapSeconds } = settings;
  const known = { request, runId, startedMs, statePrefix, watermarkOverlapSeconds };
  const conclusion = openConclusion({ ...known, taken, deadline, report, pass, reached });
  const checkpoints = keepCheckpoints(() => lock.save([conclusion.progress()], saving()));
  const problems: Problem[] = [];
  const note = problemNotes(problems, log);

  let ending: Ending;
  let failedIds: string[];
  try {
    ending = await copy({
      job,
      runId,
      settings,
      concurrency: (request.kind === 'backfill' && request.concurrency) || settings.concurrency,
      credentials: running.credentials,
      pass,
      ids: request.kind === 'backfill' ? request.ids : undefined,
      shard: request.shard,
      failedBefore: job.source.one && !isContinuation(request) ? failures.due() : [],
      fence: { token: lock.fencingToken, scope, refused: whyFenced(lock, saving) },
      stops: { check: session.check, deadline, lost: session.signal, saveFailed: checkpoints.saveFailed },
      report,
      outcomes: keepUnwritten({ job, kind: request.kind, pass, failures, deadLetters, note, log }),
      pageSettled(page) {
        pass.pageSettled(page);
        checkpoints.pageSettled(page);
      },
      throttled: running.throttled,
      log,
    });
    await checkpoints.saved();
    failedIds = failures.list(true).map(({ id }) => id);
    // A backfill does not come back to what it could not write.
    await giveUp(failures, deadLetters, report.written > 0 || (request.kind === 'backfill' && ending === 'complete'));
    if (ending !== 'complete' && pass.settledPages() === 0 && !stop.aborted) {
      throw new NoProgressError(`the run ended (${ending}) before a single page was settled, so it would never get on`);
    }
  } catch (thrown) {
    // A job's code may throw anything.
    const error = thrown instanceof Error ? thrown : new Error(`the job threw ${String(thrown)}`, { cause: thrown });
    log.error('the run failed', { report });
    await conclusion
      .conclude('failed', error)
      .catch((cause) => log.warn('the failure was not recorded', { error: cause }));
    throw error;
  }
  const status = ending === 'complete' ? 'completed' : 'partial';
  await conclusion.conclude(status);
  const { counts } = pass.current();
  log.info(status, { report, pass: counts });
  return {
    status,
    job: job.name,
    runId,
    fencingToken: lock.fencingToken,
    report,
    pass: counts,
    ...(ending !== 'complete' && { reason: ending }),
    ...(request.kind === 'backfill' && { backfillId: request.backfillId ?? runId }),
    ...(request.kind === 'backfill' && failedIds.length > 0 && { failedIds }),
    ...(problems.length > 0 && { problems }),
  };
}

function failuresBefore({ kind }: Tick | Backfill, { checkpoint, backfillProgress }: State): Failures {
  return kind === 'tick'
    ? openFailures(checkpoint?.failed ?? [], RUNS_BEFORE_GIVING_UP)
    : openFailures(backfillProgress?.failed ?? [], 1);
}

/** A run that only goes on with a tick's pass leaves its failed records to the later ticks. */
const isContinuation = (request: Tick | Backfill) => request.kind === 'tick' && request.continues !== undefined;

/** Sends what is not tried any more to the dead-letter queue; what has not arrived there stays in the list. */
async function giveUp(failures: Failures, deadLetters: DeadLetters, targetWasUp: boolean): Promise<void> {
  const letters = failures.givenUp(targetWasUp).map((failure) => ({ ...failure, kind: 'failed' as const }));
  for (const id of await deadLetters.givenUp(letters)) failures.done(id);
}
