import { parseSchedule, type Schedule } from './schedule.ts';

/** The shortest and the longest time from one tick to the next. */
export interface TickGaps {
  shortestSeconds: number;
  longestSeconds: number;
}

const DAY_MS = 86_400_000;

/**
 * Measures the gaps between the coming ticks: all of them for at least 8 days (so that a weekend is among them) and 500 ticks,
 * and for 400 days those that are longer than a day (a month or a season without ticks).
 * @throws Error if the expression is malformed, or has fewer than two ticks to come
 */
export function tickGaps(expression: string, timezone: string, from = new Date()): TickGaps {
  checkFields(expression);
  const next = parseSchedule(expression, timezone, from);
  let shortestMs = Number.POSITIVE_INFINITY;
  let longestMs = longestGapOfDays(next, from);
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
  if (longestMs === 0) throw new Error('it has fewer than two ticks to come');
  return { shortestSeconds: Math.round(shortestMs / 1000), longestSeconds: Math.round(longestMs / 1000) };
}

/** Refuses what croner accepts and EventBridge does not. */
function checkFields(expression: string) {
  const fields = /^cron\((.*)\)$/.exec(expression)?.[1]?.split(/\s+/);
  if (!fields) return;
  const [minute, hour, day, month, weekday, year] = fields;
  if ([minute, hour, month, year].some((field) => field?.includes('?'))) {
    throw new Error('only the day and the weekday can be ?');
  }
  if ((day === '?') === (weekday === '?')) {
    throw new Error('exactly one of day and weekday must be ?');
  }
  if (weekday && /(^|[,-])8/.test(weekday)) throw new Error('weekdays are 1 to 7, and Sunday is 1');
}

/** The longest gap of more than a day in the coming 400 days, in ms. Steps by days: a year of ticks would be too many. */
function longestGapOfDays(next: Schedule, from: Date): number {
  let longestMs = 0;
  /** The last tick found so far. */
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
