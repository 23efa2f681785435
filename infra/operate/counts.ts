import type { Report } from '../../lib/report.ts';

/** Shown only where they are not 0. */
const AT_TIMES = ['unchanged', 'removed', 'failed', 'invalid', 'missing'] as const;
const NAMES = ['read', 'written', ...AT_TIMES] as const;

/** The counts of a report that an operator sees. */
export type Counts = Pick<Report, (typeof NAMES)[number]>;

export const noCounts = () => Object.fromEntries(NAMES.map((name) => [name, 0])) as Counts;

export const addCounts = (a: Counts, b: Counts) =>
  Object.fromEntries(NAMES.map((name) => [name, a[name] + b[name]])) as Counts;

/** `7 read, 5 written, 2 failed`; what did not occur is left out. */
export function formatCounts(counts: Counts, dryRun = false): string {
  const would = dryRun ? 'would be ' : '';
  const others = AT_TIMES.flatMap((name) =>
    counts[name] > 0 ? [`${counts[name]} ${name === 'removed' ? would : ''}${name}`] : [],
  );
  return [`${counts.read} read`, `${counts.written} ${would}written`, ...others].join(', ');
}
