import type { Status } from '../../../lib/run/status.ts';
import type { JobView } from '../api.ts';
import { counted, moment, shown, span } from './words.ts';

export type Condition = 'running' | 'waiting' | 'paused' | 'failing' | 'unknown';

export const CONDITION_NAMES: Record<Condition, string> = {
  running: 'Running',
  waiting: 'Waiting',
  paused: 'Paused',
  failing: 'Failing',
  unknown: 'Unknown',
};

/** What a job does now, in one word and some sentences. */
export function conditionOf(view: JobView, nowMs: number): { condition: Condition; sentences: string[] } {
  const { status } = view;
  if (!status) return { condition: 'unknown', sentences: [] };
  const { pause, notBefore } = status;
  const next = describeNext(view, nowMs);
  const paused =
    pause && `The timer is paused since ${moment(pause.since, nowMs)}${pause.note ? `: ${shown(pause.note)}` : ''}.`;
  const skips = status.consecutiveSkips;
  const skipped = skips > 0 ? `${counted(skips, 'tick')} in a row found the lock held.` : undefined;
  const quota = notBefore && `A server wants to be left alone until ${moment(notBefore, nowMs)}.`;
  const held = describeHolders(status, nowMs);
  const failing = describeFailing(status, nowMs);
  const sentences = (...parts: (string | undefined)[]) => parts.filter((part) => part !== undefined);
  if (held) return { condition: 'running', sentences: sentences(...held, skipped, paused ?? next) };
  if (paused) return { condition: 'paused', sentences: sentences(paused, failing) };
  if (failing) return { condition: 'failing', sentences: sentences(failing, quota, next) };
  return { condition: 'waiting', sentences: sentences(next, quota) };
}

export const partsOf = (status: Status) => status.shards ?? [status];

function describeNext({ nextDue, timer }: JobView, nowMs: number): string | undefined {
  if (timer && !timer.enabled) return 'The schedule is switched off.';
  if (nextDue === undefined) return timer && `Ticks come by ${timer.expression}.`;
  const inMs = Date.parse(nextDue) - nowMs;
  return inMs > 0 ? `The next tick is due in ${span(inMs)}, at ${moment(nextDue, nowMs)}.` : 'A tick is due now.';
}

function describeHolders(status: Status, nowMs: number): string[] | undefined {
  const parts = partsOf(status);
  const holders = parts.flatMap(({ heldBy }) => heldBy ?? []);
  const [holder] = holders;
  if (!holder) return undefined;
  if (parts.length > 1) return [`${holders.length} of ${parts.length} shards run.`];
  const { runId, kind = 'run', startedAt, host, createRevision, leaseRemainingSeconds: lease, waiting, key } = holder;
  const since = startedAt === undefined ? '' : ` for ${span(nowMs - Date.parse(startedAt))}`;
  const who = runId
    ? `A ${shown(kind)} holds the lock${since}${host ? ` on ${shown(host)}` : ''}, fencing token ${createRevision}.`
    : `Another program holds the lock: key ${shown(key)}.`;
  return [
    who,
    ...(lease === undefined ? [] : [`Its lease ends in ${lease} s unless it is kept alive.`]),
    ...(waiting ? [`${counted(waiting, 'more key')} ${waiting === 1 ? 'waits' : 'wait'} behind it.`] : []),
    ...(status.advice ? [shown(status.advice)] : []),
  ];
}

function describeFailing(status: Status, nowMs: number): string | undefined {
  const last = partsOf(status)
    .flatMap(({ lastRun }) => lastRun ?? [])
    .find(({ status }) => status === 'failed');
  if (!last) return undefined;
  const why = last.error ? `: ${shown(last.error.name)}: ${shown(last.error.message)}` : '';
  return `The last tick failed ${span(nowMs - Date.parse(last.endedAt))} ago${why}`;
}

/** The time since the start of the last completed run, behind which the target is complete; in shards, of the oldest. */
export function lagMs(status: Status, nowMs: number): number | undefined {
  const starts = partsOf(status).map(({ lastCompletedStartedAt: at }) =>
    at === undefined ? Number.NaN : Date.parse(at),
  );
  const oldest = Math.min(...starts);
  return Number.isNaN(oldest) ? undefined : Math.max(0, nowMs - oldest);
}
