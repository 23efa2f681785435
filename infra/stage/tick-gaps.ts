import { parseSchedule, type Schedule } from './schedule.ts';

/** The shortest and the longest time from one tick to the next. */
export interface TickGaps {
  shortestSeconds: number;
  longestSeconds: number;
}

const DAY_MS = 86_400_000;

/**
 * Looks at the ticks that come next: those of a week, so that a free weekend is seen, of more where they are rare, and at
 * the days without any in the year to come.
 * @throws Error when the expression is malformed, or has fewer than two ticks within the next years
 */
export function tickGaps(expression: string, timezone: string, from = new Date()): TickGaps {
  checkFields(expression);
  const next = parseSchedule(expression, timezone, from);
  let shortestMs = Number.POSITIVE_INFINITY;
  let longestMs = longestFreeTime(next, from);
  const first = next(from);
  let tick = first;
  for (let seen = 0; first && tick; seen++) {
    const passedMs = tick.getTime() - first.getTime();
    if (seen > 0 && (passedMs > 400 * DAY_MS || (seen > 500 && passedMs > 8 * DAY_MS))) break;
    const following = next(tick);
    if (!following) break;
    const gapMs = following.getTime() - tick.getTime();
    shortestMs = Math.min(shortestMs, gapMs);
    longestMs = Math.max(longestMs, gapMs);
    tick = following;
  }
  if (longestMs === 0) throw new Error('it has no two ticks to come');
  return { shortestSeconds: Math.round(shortestMs / 1000), longestSeconds: Math.round(longestMs / 1000) };
}

/** croner takes more than EventBridge does. */
function checkFields(expression: string) {
  const fields = /^cron\((.*)\)$/.exec(expression)?.[1]?.split(/\s+/);
  if (!fields) return;
  const [minute, hour, day, month, weekday, year] = fields;
  if ([minute, hour, month, year].some((field) => field?.includes('?'))) {
    throw new Error('? is for the day and the weekday only');
  }
  if ((day === '?') === (weekday === '?')) {
    throw new Error('one of day and weekday must be ?, and the other must not');
  }
  if (weekday && /(^|[,-])8/.test(weekday)) throw new Error('weekdays are 1 to 7, from Sunday on');
}

/** The longest time between two ticks that holds a whole day, in ms: every day of a year is looked at, not every tick. */
function longestFreeTime(next: Schedule, from: Date): number {
  let longestMs = 0;
  /** In the day before. */
  let last: Date | undefined;
  for (let startMs = from.getTime(); startMs < from.getTime() + 400 * DAY_MS; startMs += DAY_MS) {
    const tick = next(new Date(startMs));
    if (!tick) break;
    const passedMs = tick.getTime() - startMs;
    if (passedMs > DAY_MS) {
      for (let at = last; at && at.getTime() <= startMs; at = next(at) ?? undefined) last = at;
      if (last) longestMs = Math.max(longestMs, tick.getTime() - last.getTime());
      startMs += Math.floor(passedMs / DAY_MS) * DAY_MS;
    }
    last = tick;
  }
  return longestMs;
}
