import * as v from 'valibot';

const ISO_8601_WITH_ZONE = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})$/;

/** A point in time: ISO 8601 with a zone, because without one it would be another instant on another machine. */
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

/** The years that have four digits in UTC: `toISOString()` writes other years in a form that does not sort as text. */
const [EARLIEST_MS, LATEST_MS] = [Date.parse('0000-01-01T00:00:00Z'), Date.parse('9999-12-31T23:59:59.999Z')];

/** V8 reads 30 February as 2 March, and hour 24 as the next day. */
function exists(text: string): boolean {
  if (Number.isNaN(msOf(text))) return false;
  if (text.slice(8, 10) <= '28' && text.slice(11, 13) <= '23') return true;
  const local = text.slice(0, 16);
  return instantOf(`${local}Z`)?.startsWith(local) ?? false;
}

/** `time` in ms since 1970; NaN when it is missing or cannot be read. */
export function msOf(time: string | undefined): number {
  const ms = Date.parse(time ?? '');
  return ms >= EARLIEST_MS && ms <= LATEST_MS ? ms : Number.NaN;
}

/** `time` in `toISOString()`'s form; undefined when it is missing or cannot be read. */
export function instantOf(time: string | undefined): string | undefined {
  const ms = msOf(time);
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString();
}

/** `ms` since 1970 in `toISOString()`'s form; any time before the year 0 becomes its first moment. */
export const instantAt = (ms: number): string => new Date(Math.max(ms, EARLIEST_MS)).toISOString();
