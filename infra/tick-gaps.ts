import { parseSchedule } from './local/schedule.ts';

/** The shortest and the longest time from one tick to the next. */
export interface TickGaps {
  shortestSeconds: number;
  longestSeconds: number;
}

const DAY_MS = 86_400_000;

/**
 * Looks at the ticks that come next: at least those of a week, so that a free weekend is seen, and of a year where they
 * are rare.
 * @throws Error when the expression is malformed, or has fewer than two ticks within the next years
 */
export function tickGaps(expression: string, timezone: string, from = new Date()): TickGaps {
  const [, day, , weekday] = /^cron\(\S+ \S+ (\S+) (\S+) (\S+) \S+\)$/.exec(expression) ?? [];
  if (day !== undefined && (day === '?') === (weekday === '?')) {
    throw new Error('one of day and weekday must be ?, and the other must not');
  }
  const next = parseSchedule(expression, timezone, from);
  let shortestMs = Number.POSITIVE_INFINITY;
  let longestMs = 0;
  let tick = next(from);
  for (let seen = 0; tick; seen++) {
    const passedMs = tick.getTime() - from.getTime();
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
