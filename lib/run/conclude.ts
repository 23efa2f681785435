import { hostname } from 'node:os';
import type { Backfill } from '../backfill-event.ts';
import { bounded } from '../bounded.ts';
import { type Interrupted, SolotickError } from '../errors.ts';
import type { Tick } from '../event.ts';
import type { Put } from '../lock/mutex.ts';
import type { Operation } from '../lock/query.ts';
import type { Report } from '../report.ts';
import type { Leaving, Reached } from '../state/final-state.ts';
import type { HistoryEntry } from '../state/history.ts';
import { putHistory } from '../state/history.ts';
import type { PassUnderWay } from '../state/pass-under-way.ts';
import type { Places } from '../state/places.ts';
import type { Quota, RunRecord } from '../state/schemas.ts';
import type { Wanted } from '../state/wanted.ts';
import { type Deadline, TO_REVOKE_AND_ANSWER_MS } from '../time/deadline.ts';
import type { Taken } from './acquire.ts';
import type { MakingWay } from './making-way.ts';

/**
 * Frees the lock and leaves the final state, in one transaction.
 * @returns the tick that found the lock held and is to run now
 * @throws LockLostError, LockServiceError
 */
export type Conclude = (
  status: RunRecord['status'],
  more?: { error?: Error; interrupted?: Interrupted | undefined; quota?: Quota | undefined } & Pick<
    Reached,
    'removals' | 'waiting' | 'approval'
  >,
) => Promise<Wanted | undefined>;

/** @param options.reached gives what the run has reached by then */
export function concluding(options: {
  request: Tick | Backfill;
  runId: string;
  startedMs: number;
  places: Places;
  taken: Taken;
  deadline: Deadline;
  report: Report;
  pass: PassUnderWay;
  leaving: Leaving;
  reached: () => Reached;
  way: Pick<MakingWay, 'atUnlock'>;
}): Conclude {
  const { request, runId, startedMs, places, taken, deadline, report, pass, leaving, reached, way } = options;
  const { kind } = request;
  const { session, lock, state } = taken;
  return async (status, { error, interrupted, quota, removals, waiting, approval } = {}) => {
    const endedMs = Date.now();
    // The clock may have been set back meanwhile.
    report.durationMs = Math.max(0, endedMs - startedMs);
    pass.runEnded(report);
    const last: RunRecord = {
      ...{ runId, kind, status, report, fencingToken: lock.fencingToken },
      startedAt: new Date(startedMs).toISOString(),
      endedAt: new Date(endedMs).toISOString(),
      ...(error && { error: describe(error) }),
    };
    const compared = { removals, waiting, approval };
    const reachedNow = { ...reached(), reason: interrupted?.reason, ...(quota && { quota }), ...compared };
    const [record, ...others] = await leaving.final(last, reachedNow);
    const reason = last.error?.name ?? interrupted?.reason;
    const entry: HistoryEntry = {
      ...{ ...last, kind, host: hostname(), ...origin(request, runId) },
      ...(reason !== undefined && { reason }),
      ...(interrupted && { message: interrupted.message }),
      ...(typeof removals === 'object' && { removalsWithheld: removals.withheld }),
    };
    const operations: [Put, ...Operation[]] = [record, ...others, putHistory(places.statePrefix, state, entry)];
    const unlock = async (signal: AbortSignal) => {
      const { totalMs, ...budget } = session.budget();
      const leftMs = deadline.endsInMs();
      const unlockMs = Math.min(totalMs, Math.max(leftMs / 2, leftMs - TO_REVOKE_AND_ANSWER_MS));
      return await lock.unlock(operations, { ...budget, totalMs: unlockMs, signal }, way.atUnlock);
    };
    const { cut } = deadline;
    try {
      return await unlock(cut.aborted ? session.signal : AbortSignal.any([session.signal, cut]));
    } catch (error) {
      if (error !== cut.reason) throw error;
    }
    // The process was asked to end meanwhile, so there is less time than there was. To unlock twice is to unlock once.
    return await unlock(session.signal);
  };
}

/** What a run was asked for, as far as the history says it. */
const origin = (request: Tick | Backfill, runId: string): Partial<HistoryEntry> =>
  request.kind === 'tick'
    ? { ...(request.scheduledTime !== undefined && { scheduledTime: request.scheduledTime }) }
    : {
        backfillId: request.backfillId ?? runId,
        ...(request.startedBy !== undefined && { startedBy: request.startedBy }),
      };

function describe(error: Error): NonNullable<RunRecord['error']> {
  const { name, message } = error;
  const code = error instanceof SolotickError ? error.code : 'UNKNOWN';
  return { name: bounded(`${name}`, 100), code, message: bounded(`${message}`) };
}
