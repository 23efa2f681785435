import * as v from 'valibot';

const ISO_8601_WITH_ZONE = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})$/;

/** A point in time: ISO 8601 with a zone, because a time without one would be another instant on another machine. */
export const instant = v.pipe(
  v.string(),
  v.regex(ISO_8601_WITH_ZONE, 'must be an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z'),
  v.check(exists, 'must be a time that exists'),
);

/** The same in `toISOString()`'s form, so that instants compare as strings. */
export const utcInstant = v.pipe(
  instant,
  v.transform((text) => new Date(text).toISOString()),
);

/** Those with a year of four digits in UTC: `toISOString()` writes others in another form, which no longer sorts as text. */
const [EARLIEST_MS, LATEST_MS] = [Date.parse('0000-01-01T00:00:00Z'), Date.parse('9999-12-31T23:59:59.999Z')];

/** V8 takes the 30th of February for the 2nd of March, and hour 24 for the next day. */
function exists(text: string): boolean {
  if (Number.isNaN(msOf(text))) return false;
  if (text.slice(8, 10) <= '28' && text.slice(11, 13) <= '23') return true;
  const local = text.slice(0, 16);
  return new Date(`${local}Z`).toISOString().startsWith(local);
}

/** A time in ms since 1970; NaN where there is none, or none that can be understood. */
export function msOf(time: string | undefined): number {
  const ms = Date.parse(time ?? '');
  return ms >= EARLIEST_MS && ms <= LATEST_MS ? ms : Number.NaN;
}

/** A time in `toISOString()`'s form; undefined where there is none, or none that can be understood. */
export function instantOf(time: string | undefined): string | undefined {
  const ms = msOf(time);
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString();
}

/** The time so many ms after 1970 in `toISOString()`'s form; of those before the year 0, its beginning. */
export const instantAt = (ms: number): string => new Date(Math.max(ms, EARLIEST_MS)).toISOString();
