import * as v from 'valibot';

const ISO_8601_WITH_ZONE = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})$/;

/** A point in time: ISO 8601 with a zone, because a time without one would be another instant on another machine. */
export const instant = v.pipe(
  v.string(),
  v.regex(ISO_8601_WITH_ZONE, 'must be an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z'),
  v.check((text) => !Number.isNaN(Date.parse(text)), 'must be a time that exists'),
);

/** The same in `toISOString()`'s form, so that instants compare as strings. */
export const utcInstant = v.pipe(
  instant,
  v.transform((text) => new Date(text).toISOString()),
);

/** A time in `toISOString()`'s form; undefined where there is none, or none that can be understood. */
export function instantOf(time: string | undefined): string | undefined {
  const ms = Date.parse(time ?? '');
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString();
}
