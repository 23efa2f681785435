import type { IRequestOp } from 'etcd3';
import type { Put } from '../lock/mutex.ts';
import type { Failure } from './failures.ts';
import { deleteBackfill, deleteState, type Pass, putBackfill, putState, type RunRecord, type State } from './state.ts';
import { watermarkAfter } from './watermark.ts';

/** What a run has reached: its pass, the failed records, and the invalid ones that were sent to the dead-letter queue. */
export interface Reached {
  pass: Readonly<Pass>;
  failed: Failure[];
  deadLettered: string[];
}

/** What a tick leaves behind as long as its pass has not ended. */
export const progressOfTick = (prefix: string, reached: Reached): Put => putState(prefix, 'checkpoint', reached);

/** What a backfill leaves behind as long as its pass has not ended. */
export const progressOfBackfill = (prefix: string, backfillId: string, { pass, failed }: Reached): Put =>
  putBackfill(prefix, backfillId, { pass, failed });

/** What a backfill leaves in the transaction that unlocks. The timer's own state stays as it is. */
export function finalStateOfBackfill(
  prefix: string,
  backfillId: string,
  last: RunRecord,
  reached: Reached,
): [Put, ...IRequestOp[]] {
  const rest =
    last.status === 'completed' ? deleteBackfill(prefix, backfillId) : progressOfBackfill(prefix, backfillId, reached);
  return [putState(prefix, 'backfill', { last }), rest];
}

/** What a tick leaves in the transaction that unlocks. */
export function finalStateOfTick(
  prefix: string,
  last: RunRecord,
  reached: Reached,
  options: { before: State; scheduledTime: string | undefined; overlapSeconds: number },
): [Put, ...IRequestOp[]] {
  const { before, scheduledTime = '', overlapSeconds } = options;
  const { completedScheduledTime, completedStartedAt } = before.run ?? {};
  // The lock was held by us, so the row of ticks that found it held by another run ends.
  const noSkips = deleteState(prefix, 'skips');
  if (last.status !== 'completed') {
    return [
      putState(prefix, 'run', { last, completedScheduledTime, completedStartedAt }),
      progressOfTick(prefix, reached),
      noSkips,
    ];
  }
  const { pass, failed, deadLettered } = reached;
  // A completed time in the future was sent by hand: it must not make duplicates of the ticks before it.
  const due = completedScheduledTime && completedScheduledTime <= last.endedAt ? completedScheduledTime : '';
  const latest = scheduledTime > due ? scheduledTime : completedScheduledTime;
  const at = watermarkAfter(pass, overlapSeconds) ?? before.watermark?.at;
  const fullAt = pass.full ? pass.startedAt : before.watermark?.fullAt;
  return [
    putState(prefix, 'run', { last, completedScheduledTime: latest, completedStartedAt: last.startedAt }),
    putState(prefix, 'checkpoint', { failed, deadLettered }),
    ...(at === undefined ? [] : [putState(prefix, 'watermark', { at, fullAt })]),
    noSkips,
  ];
}
