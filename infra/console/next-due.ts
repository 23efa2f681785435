import { every, parseSchedule } from '../stage/schedule.ts';
import type { Timer } from '../terminal/announce.ts';

/**
 * When the next tick is due after `now`; undefined where that cannot be known: of a rate whose start only AWS knows, before
 * its first tick.
 * @param lastScheduled the scheduled time of a tick that has come
 */
export function nextDue(timer: Timer, lastScheduled: string | undefined, now: Date): string | undefined {
  const { expression, timezone, enabled, everyMs } = timer;
  if (!enabled) return undefined;
  const start = timer.start ?? lastScheduled;
  if (start === undefined && expression.startsWith('rate')) return undefined;
  const began = new Date(start ?? now);
  const schedule = everyMs === undefined ? parseSchedule(expression, timezone, began) : every(everyMs, began);
  return schedule(now)?.toISOString();
}
