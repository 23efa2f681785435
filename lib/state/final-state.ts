import type { Put } from '../lock/mutex.ts';
import type { Operation } from '../lock/query.ts';
import { deleteBackfill, putBackfill } from './backfills.ts';
import type { Failure } from './failures.ts';
import { packRecent, type RecentVersion } from './recent.ts';
import type { Pass, Quota, Removals, RunRecord } from './schemas.ts';
import { deleteRecent, deleteState, putRecent, putState, type State } from './state.ts';
import { putWaiting } from './waiting.ts';
import { watermarkAfter } from './watermark.ts';

/** What a run has reached: its pass, the failed records, and the invalid ones that were sent to the dead-letter queue. */
export interface Reached {
  pass: Readonly<Pass>;
  failed: Failure[];
  deadLettered: string[];
  /** See `Division`. */
  closedGeneration: number | undefined;
  /** The versions at the target that changed at `sinceMs` or later; undefined where they are too many to keep. */
  recent(sinceMs: number): ReadonlyMap<string, RecentVersion> | undefined;
  /** Until when the next ticks do nothing. */
  quota?: Quota;
  /** Why it is partial. */
  reason?: string | undefined;
  /** The records that are not tried any more. */
  givenUp: string[];
  /** What a pass that compared has withheld. It counts at the end of the pass; absent, it stays as it was. */
  removals?: Removals | 'none' | undefined;
  /** What is left of an approval that the run has used in part. It counts where the pass has not ended. */
  approval?: Removals | undefined;
  /** The vanished records that wait for the next full pass, by `idHash`; as `removals`. */
  waiting?: string[] | undefined;
}

/** What a run writes to etcd. */
export interface Leaving {
  /** Before the pass is copied. @throws NoProgressError where it must not begin */
  begin?(): Operation[];
  /** As long as its pass has not ended. */
  progress(reached: Reached): Put;
  /** In the transaction that unlocks. */
  final(last: RunRecord, reached: Reached): Final | Promise<Final>;
}

type Final = [Put, ...Operation[]];

interface LeavingAtOnce extends Leaving {
  final(last: RunRecord, reached: Reached): Final;
}

/**
 * A backfill leaves the timer's own state as it is, but for a quota that it has met, which keeps ticks away as well, and for the
 * removals that are withheld, which are the target's.
 */
export function leavingOfBackfill(prefix: string, backfillId: string): LeavingAtOnce {
  const progress = ({ pass, failed }: Reached) => putBackfill(prefix, backfillId, { pass, failed });
  return {
    progress,
    final(last, reached) {
      const record = putState(prefix, 'backfill', { last, quota: reached.quota });
      if (last.status !== 'completed') return [record, progress(reached), ...approvalOf(prefix, reached)];
      return [record, deleteBackfill(prefix, backfillId), ...removalsOf(prefix, reached)];
    },
  };
}

const NONE: ReadonlyMap<string, RecentVersion> = new Map();

/** @param before the state under which the tick took the lock */
export function leavingOfTick(
  prefix: string,
  before: State,
  options: { scheduledTime: string | undefined; overlapSeconds: number },
): LeavingAtOnce {
  const { scheduledTime = '', overlapSeconds } = options;
  const { completedScheduledTime, completedStartedAt } = before.run ?? {};
  // We held the lock, so the row of ticks that found it held by another run ends.
  const noSkips = deleteState(prefix, 'skips');
  const progress = ({ pass, failed, deadLettered }: Reached) =>
    putState(prefix, 'checkpoint', { pass, failed, deadLettered });

  function completed(last: RunRecord, reached: Reached): [Put, ...Operation[]] {
    const { pass, failed, deadLettered, closedGeneration, recent } = reached;
    // A completed time in the future was sent by hand: it must not make duplicates of the ticks before it.
    const due = completedScheduledTime && completedScheduledTime <= last.endedAt ? completedScheduledTime : '';
    const latest = scheduledTime > due ? scheduledTime : completedScheduledTime;
    const at = watermarkAfter(pass, overlapSeconds) ?? before.watermark?.at;
    const fullAt = pass.full ? pass.startedAt : before.watermark?.fullAt;
    const versions = at === undefined ? NONE : recent(Date.parse(at));
    return [
      putState(prefix, 'run', {
        last,
        completedScheduledTime: latest,
        completedStartedAt: last.startedAt,
        closedGeneration,
      }),
      putState(prefix, 'checkpoint', { failed, deadLettered }),
      ...(at === undefined ? [] : [putState(prefix, 'watermark', { at, fullAt })]),
      at === undefined || versions?.size === 0
        ? deleteRecent(prefix)
        : putRecent(prefix, { at, versions: packRecent(versions ?? NONE), ...(!versions && { tooMany: true }) }),
      ...removalsOf(prefix, reached),
      noSkips,
    ];
  }

  return {
    progress,
    final(last, reached) {
      if (last.status === 'completed') return completed(last, reached);
      const { closedGeneration, quota } = reached;
      return [
        putState(prefix, 'run', { last, completedScheduledTime, completedStartedAt, closedGeneration, quota }),
        progress(reached),
        ...approvalOf(prefix, reached),
        noSkips,
      ];
    },
  };
}

/** Keeps what is left of an approval, for the next pass. */
export const approvalOf = (prefix: string, { approval }: Reached): Operation[] =>
  approval ? [putState(prefix, 'removals', approval)] : [];

/** Keeps what a pass that compared has withheld, and what waits for the next one. */
export function removalsOf(prefix: string, { removals, waiting }: Reached): Operation[] {
  const left = waiting ? [putWaiting(prefix, waiting)] : [];
  if (removals === undefined) return left;
  return [...left, removals === 'none' ? deleteState(prefix, 'removals') : putState(prefix, 'removals', removals)];
}
