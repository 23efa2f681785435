import { Cron } from 'croner';

const UNIT_MS: Record<string, number> = { second: 1000, minute: 60_000, hour: 3_600_000, day: 86_400_000 };

/** Returns the first tick later than `after`, or null after the last one. */
export type Schedule = (after: Date) => Date | null;

/**
 * Parses an expression of EventBridge Scheduler: `rate(15 minutes)`, `cron(minute hour day month weekday year)` or
 * `at(yyyy-mm-ddThh:mm:ss)`. `timezone` applies to cron and at; a rate has its first tick at `start`.
 * @throws Error that quotes a malformed expression
 */
export function parseSchedule(expression: string, timezone: string, start: Date): Schedule {
  const [, kind, body = ''] = /^(rate|cron|at)\((.*)\)$/.exec(expression.trim()) ?? [];
  try {
    if (kind === 'rate') return rate(body, start);
    if (kind === 'cron') return cron(body, timezone);
    if (kind === 'at') return at(body, timezone);
  } catch (cause) {
    throw new Error(`schedule ${expression} is malformed: ${(cause as Error).message}`, { cause });
  }
  throw new Error(`schedule ${expression} is malformed: expected rate(…), cron(…) or at(…)`);
}

function rate(body: string, start: Date): Schedule {
  const [, count, unit] = /^([1-9]\d*) (minute|hour|day)s?$/.exec(body) ?? [];
  if (!count || !unit) throw new Error('expected a number of minutes, hours or days');
  return every(Number(count) * UNIT_MS[unit]!, start);
}

/** Ticks at `start` and then every `intervalMs`. */
export function every(intervalMs: number, start: Date): Schedule {
  return (after) => {
    const passed = Math.floor((after.getTime() - start.getTime()) / intervalMs);
    return new Date(start.getTime() + Math.max(0, passed + 1) * intervalMs);
  };
}

function cron(body: string, timezone: string): Schedule {
  const fields = body.split(/\s+/);
  if (fields.length !== 6) throw new Error(`expected 6 fields, got ${fields.length}`);
  // AWS: `?` leaves a day open, and a lone `L` is the last day of the week. croner: `?` means now.
  const pattern = fields.map((field, index) => (field === '?' ? '*' : index === 4 && field === 'L' ? '7' : field));
  // AWS counts weekdays from Sunday = 1, and allows 0/15 besides */15.
  const options = { mode: '7-part', alternativeWeekdays: true, sloppyRanges: true, timezone, paused: true } as const;
  const parsed = new Cron(`0 ${pattern.join(' ')}`, options);
  return (after) => {
    // When clocks go forward, croner moves a tick in the missing hour to the next hour; AWS omits the tick.
    let next = parsed.nextRun(after);
    while (next && !parsed.match(next)) next = parsed.nextRun(next);
    return next;
  };
}

function at(body: string, timezone: string): Schedule {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/.test(body)) throw new Error('expected yyyy-mm-ddThh:mm:ss');
  const once = new Cron(body, { timezone, paused: true });
  return (after) => once.nextRun(after);
}

/** Converts `10s`, `5m` or `2h` to milliseconds. @throws Error */
export function parseInterval(text: string): number {
  const [, count, unit] = /^([1-9]\d*)(s|m|h)$/.exec(text) ?? [];
  if (!count || !unit) throw new Error(`"${text}" is not an interval: expected 10s, 5m or 2h`);
  return Number(count) * { s: 1000, m: 60_000, h: 3_600_000 }[unit as 's' | 'm' | 'h'];
}
