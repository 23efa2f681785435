import { SolotickError } from '../errors.ts';
import type { Backfill, Tick } from '../event.ts';
import type { Put } from '../lock/mutex.ts';
import type { Report } from '../report.ts';
import {
  finalStateOfBackfill,
  finalStateOfTick,
  progressOfBackfill,
  progressOfTick,
  type Reached,
} from '../state/final-state.ts';
import type { PassUnderWay } from '../state/pass-under-way.ts';
import type { RunRecord } from '../state/state.ts';
import { type Deadline, TO_REVOKE_AND_ANSWER_MS } from '../time/deadline.ts';
import type { Taken } from './acquire.ts';

/** How a run that holds the lock saves what it has reached. */
export interface Conclusion {
  /** What a checkpoint writes. */
  progress(): Put;
  /** Frees the lock and leaves the final state, in one transaction. @throws LockLostError, LockServiceError */
  conclude(status: RunRecord['status'], error?: Error): Promise<void>;
}

/** @param options.reached gives what the run has reached by now */
export function openConclusion(options: {
  request: Tick | Backfill;
  runId: string;
  startedMs: number;
  statePrefix: string;
  watermarkOverlapSeconds: number;
  taken: Taken;
  deadline: Deadline;
  report: Report;
  pass: PassUnderWay;
  reached: () => Reached;
}): Conclusion {
  const { request, runId, startedMs, statePrefix, watermarkOverlapSeconds, taken, deadline, report, pass, reached } =
    options;
  const { session, lock, state } = taken;
  const backfillId = (request.kind === 'backfill' && request.backfillId) || runId;

  function finalState(last: RunRecord) {
    if (request.kind === 'backfill') return finalStateOfBackfill(statePrefix, backfillId, last, reached());
    return finalStateOfTick(statePrefix, last, reached(), {
      before: state,
      scheduledTime: request.scheduledTime,
      overlapSeconds: watermarkOverlapSeconds,
    });
  }

  return {
    progress: () =>
      request.kind === 'tick'
        ? progressOfTick(statePrefix, reached())
        : progressOfBackfill(statePrefix, backfillId, reached()),
    async conclude(status, error) {
      const endedMs = Date.now();
      // The clock may have been set back meanwhile.
      report.durationMs = Math.max(0, endedMs - startedMs);
      pass.runEnded(report);
      const last: RunRecord = {
        runId,
        kind: request.kind,
        status,
        startedAt: new Date(startedMs).toISOString(),
        endedAt: new Date(endedMs).toISOString(),
        fencingToken: lock.fencingToken,
        report,
        ...(error && { error: describe(error) }),
      };
      const { totalMs, ...budget } = session.budget();
      const leftMs = deadline.endsInMs();
      const unlockMs = Math.min(totalMs, Math.max(leftMs / 2, leftMs - TO_REVOKE_AND_ANSWER_MS));
      await lock.unlock(finalState(last), { ...budget, totalMs: unlockMs });
    },
  };
}

function describe(error: Error): NonNullable<RunRecord['error']> {
  const { name, message } = error;
  return { name: `${name}`, code: error instanceof SolotickError ? error.code : 'UNKNOWN', message: `${message}` };
}
