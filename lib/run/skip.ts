import type { Backfill } from '../backfill-event.ts';
import type { Tick } from '../event.ts';
import { instantAt } from '../instant.ts';
import type { Holder } from '../lock/holder.ts';
import { nameOfShard } from '../shard.ts';
import type { State } from '../state/state.ts';
import { quotaNow } from './quota.ts';

/** Why a run does nothing. A value, not an error: a skip is a success for Lambda. */
export interface Skip {
  reason: 'paused' | 'duplicate' | 'stale' | 'min-interval' | 'quota' | 'waiting' | 'resharding' | 'locked';
  /** One sentence for a reader: who or what is in the way, and since when. */
  message: string;
  /** When to come back, where that is known. */
  notBefore?: string;
  heldBy?: Holder;
}

interface SkipSettings {
  shards: number;
  startingDeadlineSeconds: number | undefined;
  minIntervalSeconds: number | undefined;
}

/**
 * Decides whether a run has to be skipped, in the order of the contract. Only another division and the lock stop a backfill, and
 * the step of a detached one its own state: who starts one by hand means it. Pure, because it is asked twice: before the lock to
 * save work, and under it to be right.
 */
export function reasonToSkip(
  request: Tick | Backfill,
  state: State,
  settings: SkipSettings,
  nowMs: number,
): Skip | undefined {
  const own =
    request.kind === 'tick'
      ? reasonToSkipTick(request, state, settings, nowMs)
      : reasonToSkipStep(request, state, nowMs);
  return own ?? resharding(state);
}

/** An event of a chain may come twice, late, or when all is over. */
function reasonToSkipStep({ step, backfillId }: Backfill, state: State, nowMs: number): Skip | undefined {
  if (step === undefined) return;
  const detached = state.backfillProgress?.detached;
  const duplicate = (why: string): Skip => ({ reason: 'duplicate', message: `backfill ${backfillId} ${why}` });
  if (!detached) return duplicate('is not known any more');
  if (detached.status !== 'running') return duplicate(`has ended: ${detached.status}`);
  if (step < detached.step) return duplicate(`has reached step ${detached.step}, so step ${step} is an old one`);
  const { notBefore, lastError } = detached;
  if (!notBefore || Date.parse(notBefore) <= nowMs || state.cancelled) return;
  const why = lastError ? `: ${lastError.name}: ${lastError.message}` : '';
  return { reason: 'waiting', notBefore, message: `backfill ${backfillId} goes on at ${notBefore}${why}` };
}

/**
 * The step of a detached backfill that another event has brought already, and that is being run. Without this, events that wait
 * and send themselves again would become more and more. An event whose first delivery holds the lock does wait: that delivery
 * may have been killed, and nobody else would go on. So does one that finds another step in its way: where that is an old one,
 * its run ends without work, and nobody else would go on either. Nor is one dropped that has waited before and was sent again: the
 * key may be that of its own last wait, left in etcd until its lease ends.
 */
export function isUnderWay(request: Tick | Backfill, holder: Holder | undefined, requestId: string): Skip | undefined {
  if (request.kind !== 'backfill' || request.step === undefined || request.waited || !holder) return;
  const { backfillId, step } = holder;
  if (backfillId !== request.backfillId || step !== request.step || holder.requestId === requestId) return;
  const message = `step ${request.step} of backfill ${request.backfillId} is under way: run ${holder.runId}`;
  return { reason: 'duplicate', message, heldBy: holder };
}

function reasonToSkipTick(request: Tick, state: State, settings: SkipSettings, nowMs: number): Skip | undefined {
  const { scheduledTime } = request;
  const { pause, run } = state;
  if (pause) {
    const note = pause.note ? `: ${pause.note}` : '';
    return { reason: 'paused', message: `the job has been paused since ${pause.since}${note}` };
  }
  const completed = run?.completedScheduledTime;
  if (scheduledTime && completed && isDone(scheduledTime, completed, instantAt(nowMs))) {
    const message = `the tick scheduled for ${scheduledTime} has been done: the last completed one was that of ${completed}`;
    return { reason: 'duplicate', message };
  }
  if ((request.shard?.of ?? 1) !== settings.shards) {
    return {
      reason: 'stale',
      message: `the tick is for ${nameOfShard(request.shard)}, but SHARDS is ${settings.shards} by now`,
    };
  }
  const { startingDeadlineSeconds, minIntervalSeconds } = settings;
  if (scheduledTime && startingDeadlineSeconds) {
    const lateSeconds = secondsBetween(scheduledTime, nowMs);
    if (lateSeconds > startingDeadlineSeconds) {
      const message = `the tick scheduled for ${scheduledTime} comes ${lateSeconds} s late, more than ${startingDeadlineSeconds} s`;
      return { reason: 'stale', message };
    }
  }
  if (run?.completedStartedAt && minIntervalSeconds && !request.continues) {
    const ageSeconds = secondsBetween(run.completedStartedAt, nowMs);
    // A start on a clock that was ahead says nothing.
    if (ageSeconds >= 0 && ageSeconds < minIntervalSeconds) {
      const message = `the last completed tick began ${ageSeconds} s ago, less than ${minIntervalSeconds} s`;
      return { reason: 'min-interval', message };
    }
  }
  const quota = quotaNow(state, nowMs);
  if (quota) {
    return { reason: 'quota', message: `nothing is asked of a server before ${quota.until}: ${quota.message}` };
  }
  return;
}

/** A completed time in the future was sent by hand: it says nothing about the ticks before it. */
const isDone = (scheduledTime: string, completed: string, now: string) =>
  completed <= now ? scheduledTime <= completed : scheduledTime === completed;

/** Runs of two divisions into shards would write the same records side by side. */
function resharding({ otherDivision: heldBy }: State): Skip | undefined {
  if (!heldBy) return;
  const more = heldBy.waiting ? `, and keys more: ${heldBy.waiting}` : '';
  return {
    reason: 'resharding',
    message: `a run of another number of shards has not ended: ${heldBy.key}${more}`,
    heldBy,
  };
}

/** The skip that a held lock causes: it says who holds it, as far as its key tells. */
export function lockedBy(heldBy: Holder, nowMs: number): Skip {
  const { runId, kind, startedAt, host, key, leaseId, waiting } = heldBy;
  const holder =
    runId && startedAt
      ? `the lock is held by ${kind ?? 'run'} ${runId}, started ${startedAt}${age(startedAt, nowMs)} on ${host ?? 'an unknown host'}`
      : `the lock is held by another program: key ${key}, ${leaseId === '0' ? 'without a lease' : `lease ${leaseId}`}`;
  const message = waiting ? `${holder}; keys that wait behind it: ${waiting}` : holder;
  return { reason: 'locked', message, heldBy };
}

/** A foreign holder may have written anything. */
const age = (startedAt: string, nowMs: number) =>
  Number.isNaN(Date.parse(startedAt)) ? '' : ` (${secondsBetween(startedAt, nowMs)} s ago)`;

const secondsBetween = (instant: string, nowMs: number) => Math.round((nowMs - Date.parse(instant)) / 1000);
