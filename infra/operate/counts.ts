import type { Report } from '../../lib/report.ts';

const PROBLEMS = ['failed', 'invalid', 'missing'] as const;
const NAMES = ['read', 'written', ...PROBLEMS] as const;

/** The counts of a report that an operator sees. */
export type Counts = Pick<Report, (typeof NAMES)[number]>;

export const noCounts = (): Counts => ({ read: 0, written: 0, failed: 0, invalid: 0, missing: 0 });

export const addCounts = (a: Counts, b: Counts) =>
  Object.fromEntries(NAMES.map((name) => [name, a[name] + b[name]])) as Counts;

/** `7 read, 5 written, 2 failed`; problems that did not occur are left out. */
export function formatCounts(counts: Counts, dryRun = false): string {
  const written = `${counts.written} ${dryRun ? 'would be written' : 'written'}`;
  const problems = PROBLEMS.flatMap((name) => (counts[name] > 0 ? [`${counts[name]} ${name}`] : []));
  return [`${counts.read} read`, written, ...problems].join(', ');
}
