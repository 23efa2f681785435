import type { IRequestOp } from 'etcd3';
import type { DeadLetters } from '../copy/dead-letters.ts';
import type { Backfill, Tick } from '../event.ts';
import type { Put } from '../lock/mutex.ts';
import type { Held } from '../run/work.ts';
import type { Failures } from './failures.ts';
import { watermarkAfter } from './pass.ts';
import { deleteBackfill, deleteState, type Pass, putBackfill, putState, type RunRecord } from './state.ts';

/** A run under the lock: what it has in hand, what it reads for, and what it keeps of records that are not written. */
export interface RunUnderLock extends Held {
  request: Tick | Backfill;
  pass: Pass;
  failures: Failures;
  deadLetters: DeadLetters;
}

/** What a run that has not come to the end of its pass leaves behind. */
export function progress({ request, settings, runId, pass, failures, deadLetters, report }: RunUnderLock): Put {
  const failed = failures.list(report.written > 0);
  if (request.kind === 'backfill') {
    return putBackfill(settings.statePrefix, request.backfillId ?? runId, { pass, failed });
  }
  return putState(settings.statePrefix, 'checkpoint', { pass, failed, deadLettered: deadLetters.known() });
}

/** What the transaction that unlocks leaves behind. A backfill leaves the timer's own state alone. */
export function finalState(run: RunUnderLock, last: RunRecord): [Put, ...IRequestOp[]] {
  const { request, settings, state, runId, pass, failures, deadLetters, report } = run;
  const prefix = settings.statePrefix;
  const completed = last.status === 'completed';
  if (request.kind === 'backfill') {
    const rest = completed ? deleteBackfill(prefix, request.backfillId ?? runId) : progress(run);
    return [putState(prefix, 'backfill', { last }), rest];
  }
  const { completedScheduledTime, completedStartedAt } = state.run ?? {};
  // Whoever held the lock ends the row of those who found it held.
  const noSkips = deleteState(prefix, 'skips');
  if (!completed)
    return [putState(prefix, 'run', { last, completedScheduledTime, completedStartedAt }), progress(run), noSkips];

  const { scheduledTime = '' } = request;
  // A completed time that is still to come was sent by hand: it must not make duplicates of the ticks before it.
  const due = completedScheduledTime && completedScheduledTime <= last.endedAt ? completedScheduledTime : '';
  const latest = scheduledTime > due ? scheduledTime : completedScheduledTime;
  const at = watermarkAfter(pass, settings.watermarkOverlapSeconds) ?? state.watermark?.at;
  const fullAt = pass.full ? pass.startedAt : state.watermark?.fullAt;
  return [
    putState(prefix, 'run', { last, completedScheduledTime: latest, completedStartedAt: last.startedAt }),
    putState(prefix, 'checkpoint', { failed: failures.list(report.written > 0), deadLettered: deadLetters.known() }),
    ...(at === undefined ? [] : [putState(prefix, 'watermark', { at, fullAt })]),
    noSkips,
  ];
}
