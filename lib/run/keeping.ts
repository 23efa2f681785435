import type { Backfill } from '../backfill-event.ts';
import { keepCheckpoints } from '../copy/checkpoints.ts';
import { openDeadLetters } from '../copy/dead-letters.ts';
import { keepUnwritten } from '../copy/unwritten.ts';
import { type KnownVersions, openVersions } from '../copy/versions.ts';
import { Interrupted } from '../errors.ts';
import type { Tick } from '../event.ts';
import type { Job } from '../job-types.ts';
import type { Budget } from '../lock/etcd.ts';
import { both, nothing, type Operation, type Query } from '../lock/query.ts';
import type { Log } from '../log.ts';
import type { RecordOutcomes } from '../record-outcomes.ts';
import { type Problem, problemNotes, type Report } from '../report.ts';
import type { Settings } from '../settings/config.ts';
import { nameOfShard } from '../shard.ts';
import { isCancelled } from '../state/backfills.ts';
import { type Division, openDivision } from '../state/division.ts';
import { type Failures, openFailures, RUNS_BEFORE_GIVING_UP } from '../state/failures.ts';
import type { Leaving } from '../state/final-state.ts';
import { openPass, type PassUnderWay } from '../state/pass-under-way.ts';
import type { Places } from '../state/places.ts';
import { unpackRecent } from '../state/recent.ts';
import type { State } from '../state/state.ts';
import type { Deadline } from '../time/deadline.ts';
import type { Taken } from './acquire.ts';
import { type Conclude, concluding } from './conclude.ts';
import { makingWay, yielding } from './making-way.ts';
import { planPass } from './plan.ts';

/** What a run that holds the lock keeps, and saves. */
export interface Keeping<R> {
  pass: PassUnderWay;
  division: Division;
  failures: Failures;
  versions: KnownVersions<R>;
  /** Notes what happened to each record. */
  outcomes: RecordOutcomes<R>;
  /** The first records that were not written. */
  problems: Problem[];
  checkpoints: ReturnType<typeof keepCheckpoints>;
  /**
   * Saves what comes before the pass.
   * @returns why the pass is not copied, where a detached backfill was asked to end
   * @throws NoProgressError where it must not begin once more
   */
  begin(operations: Operation[]): Promise<Interrupted | undefined>;
  /** Sends what is not tried any more to the dead-letter queue; what does not arrive there stays in the list. */
  giveUp(targetWasUp: boolean): Promise<void>;
  conclude: Conclude;
  /** The budget of a call to etcd while the pass is copied. */
  saving(): Budget;
}

/** Opens what a run keeps: the pass that it begins or resumes, and the records that failed before. */
export function openKeeping<R>(options: {
  job: Job<R>;
  request: Tick | Backfill;
  runId: string;
  startedMs: number;
  settings: Settings;
  places: Places;
  taken: Taken;
  deadline: Deadline;
  report: Report;
  log: Log;
  leavingOf(pass: PassUnderWay): Leaving;
}): Keeping<R> {
  const { job, request, runId, startedMs, settings, places, taken, deadline, report, log } = options;
  const { kind } = request;
  const { session, lock, state } = taken;
  const startedAt = new Date(startedMs).toISOString();
  const pass = openPass(
    planPass(job, request, { state, settings, runId, startedAt, log }),
    settings.watermarkOverlapSeconds,
  );
  const division = openDivision(places, state);
  const failures = failuresOf(kind, state);
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
  const { watermarkOverlapSeconds: overlapSeconds } = settings;
  const leaving = options.leavingOf(pass);
  const { watermark, recent } = state;
  const versions = openVersions<R>({
    // What another pass has left says nothing about this one.
    before: unpackRecent(kind === 'tick' && recent?.at === watermark?.at ? recent?.versions : undefined),
    rewrite: pass.current().full,
    pass,
    overlapSeconds,
  });
  const givenUp: string[] = [];
  const reached = () => ({
    pass: pass.current(),
    failed: failures.list(report.written > 0),
    deadLettered: deadLetters.known(),
    givenUp,
    closedGeneration: division.closedGeneration(),
    recent(sinceMs: number) {
      const kept = versions.recent(sinceMs);
      if (!kept && !recent?.tooMany)
        log.warn('so many records have changed within the overlap that the next ticks write them again');
      return kept;
    },
  });
  const cancelled = asksToEnd(request, places);
  const way = makingWay(request, settings, places, lock.fencingToken);
  const problems: Problem[] = [];
  const note = problemNotes(problems, log);
  return {
    pass,
    division,
    failures,
    problems,
    versions,
    saving,
    async begin(operations) {
      const all = [...operations, ...(leaving.begin?.() ?? [])];
      if (all.length > 0 && (await lock.save(all, saving(), cancelled))) return cancelling();
    },
    outcomes: keepUnwritten({ job, kind, pass, failures, deadLetters, note, log }),
    checkpoints: keepCheckpoints({
      eachPage: way.yields,
      async save() {
        const read = both(way.atCheckpoint, cancelled);
        const [wanted, isToEnd] = await lock.save([leaving.progress(reached())], saving(), read);
        if (isToEnd) throw cancelling();
        // A pass that had to begin again has to get further first: otherwise it might never end.
        if (wanted && pass.advanced()) throw yielding(wanted);
      },
    }),
    conclude: concluding({ request, runId, startedMs, places, taken, deadline, report, pass, leaving, reached, way }),
    async giveUp(targetWasUp) {
      const letters = failures.givenUp(targetWasUp).map((failure) => ({ ...failure, kind: 'failed' as const }));
      givenUp.push(...letters.map(({ id }) => id));
      for (const id of await deadLetters.givenUp(letters)) failures.done(id);
    },
  };
}

const failuresOf = (kind: 'tick' | 'backfill', { checkpoint, backfillProgress }: State): Failures =>
  kind === 'tick'
    ? openFailures(checkpoint?.failed ?? [], RUNS_BEFORE_GIVING_UP)
    : openFailures(backfillProgress?.failed ?? [], 1);

const cancelling = () => new Interrupted('cancelled', 'the backfill was cancelled');

/** Whether a detached backfill was cancelled. */
const asksToEnd = (request: Tick | Backfill, places: Places): Query<boolean | undefined> =>
  request.kind === 'backfill' && request.step !== undefined ? isCancelled(places, request.backfillId!) : nothing;
