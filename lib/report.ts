import * as v from 'valibot';
import { bounded } from './bounded.ts';
import type { Log } from './log.ts';

export const COUNTS = [
  'read',
  'written',
  'unchanged',
  'removed',
  'invalid',
  'failed',
  'missing',
  'unsettled',
  'pages',
  'peakInFlight',
  'durationMs',
] as const;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/**
 * Reports that an earlier version has saved have no `unchanged` and no `removed`. `outside` is there only where the source gave
 * records outside of the window that it was asked for: they are left out, and `read` does not count them.
 */
export const reportSchema = v.object({
  ...v.entriesFromList(COUNTS, count),
  unchanged: v.optional(count, 0),
  removed: v.optional(count, 0),
  outside: v.optional(count),
});

/**
 * The counts of one invocation or of one pass. `removed` counts records that were removed at the target: tombstones, which
 * are `read`, and records that have vanished, which are not. Without the latter,
 * `read = written + unchanged + removed + invalid + failed + unsettled`.
 */
export type Report = v.InferOutput<typeof reportSchema>;

/** What is counted of a page. */
export const SETTLED_COUNTS = ['read', 'written', 'unchanged', 'removed', 'invalid', 'failed', 'missing'] as const;
type SettledCount = (typeof SETTLED_COUNTS)[number];

/** A page of which every record is settled, like all pages before it: a resumed run may begin behind it. */
export interface SettledPage extends Pick<Report, SettledCount> {
  /** How many of its records are outside of the window. */
  outside?: number;
  /** The cursor of the next page; undefined for a page outside of the list. */
  cursor: string | undefined;
  /** The list ends here. */
  last: boolean;
  /** When its newest record changed, in ms since 1970; -Infinity where no record says. */
  newestMs: number;
  /** When its oldest record changed, in ms since 1970; Infinity where no record says. */
  oldestMs: number;
  /** No record changed before the one before it, and each says when it changed. */
  ordered: boolean;
  /** How many of its records changed later than all before them on the page. */
  rises: number;
}

/** A record that was not written, and why. */
export interface Problem {
  id: string;
  kind: 'invalid' | 'failed' | 'missing';
  reason: string;
}

export const newReport = () => Object.fromEntries(COUNTS.map((name) => [name, 0])) as Report;

/** The sum of two reports; of the peaks, the higher one. */
export function addReports(a: Report, b: Report): Report {
  const sum = Object.fromEntries(COUNTS.map((name) => [name, a[name] + b[name]])) as Report;
  const outside = (a.outside ?? 0) + (b.outside ?? 0);
  return { ...sum, peakInFlight: Math.max(a.peakInFlight, b.peakInFlight), ...(outside > 0 && { outside }) };
}

/** The most problems that are listed and logged; the counts are always complete. */
const MAX_PROBLEMS = 20;

/** The most bytes of an id that is only named. */
const MAX_ID_BYTES = 1000;

/** Makes the function that adds to `problems` and logs, both within a bound. */
export function problemNotes(problems: Problem[], log: Log): (problem: Problem) => void {
  return ({ id, kind, reason }) => {
    if (problems.length >= MAX_PROBLEMS) return;
    const problem = { id: bounded(id, MAX_ID_BYTES), kind, reason: bounded(reason) };
    problems.push(problem);
    log.warn(`a record was not written: ${kind}`, { problem });
    if (problems.length === MAX_PROBLEMS) log.warn('further records that are not written are counted, but not listed');
  };
}
