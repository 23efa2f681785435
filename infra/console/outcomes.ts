import type { Result } from '../../lib/run/result.ts';
import { addCounts, type Counts, formatCounts, noCounts } from '../operate/counts.ts';
import type { Operation } from './api.ts';

/** What came of an action, for the reader of the page. */
export type Outcome = Required<Pick<Operation, 'outcome' | 'sentence'>> & Pick<Operation, 'lines'>;

/** What came of a tick, in all shards. */
export function describeTicks(results: Result[]): Outcome {
  const worked = results.filter(({ status }) => status !== 'skipped');
  const skipped = results.find(({ status }) => status === 'skipped');
  if (worked.length === 0 && skipped)
    return { outcome: 'refused', sentence: `The tick was skipped: ${whyOf(skipped)}.` };
  const early = worked.find(({ status }) => status !== 'completed');
  const others = skipped ? ` Of ${results.length} shards, ${results.length - worked.length} were skipped.` : '';
  const why = early ? ` It ended early (${whyOf(early)}), and the next tick goes on with it.` : '';
  const sentence = `The tick is ${early ? 'partial' : 'completed'}: ${formatCounts(sum(worked))}.${why}${others}`;
  return { outcome: 'done', sentence, lines: problemsOf(worked) };
}

/** What came of reading and writing so many failed records again. */
export function describeRetry(count: number, results: Result[]): Outcome {
  const early = results.find(({ status }) => status !== 'completed');
  if (early && results.every(({ status }) => status === 'skipped'))
    return { outcome: 'refused', sentence: `Nothing was tried: ${whyOf(early)}.` };
  const lines = problemsOf(results);
  const next = early ? `Not all were tried (${whyOf(early)}): retry them again.` : 'The next tick clears the list.';
  const sentence = `Of ${count} failed records: ${formatCounts(sum(results))}. ${next}`;
  return { outcome: early || lines.length > 0 ? 'failed' : 'done', sentence, lines };
}

const UNKNOWN =
  'It is not known what would go: a comparison that has not read all, or one of shards that the source divides by itself ' +
  '(source.sharded), does not find what has vanished.';

/** What a dry run has found; with `vanished`, only what would be removed. */
export function describeRehearsal(results: Result[], only?: 'vanished'): Outcome {
  if (only && results.some(({ vanishedUnknown }) => vanishedUnknown)) return { outcome: 'refused', sentence: UNKNOWN };
  const counts = sum(results);
  const early = results.find(({ status }) => status !== 'completed');
  const differences = results.flatMap((result) => result.differences ?? []);
  const shown = only ? differences.filter(({ kind }) => kind === only) : differences;
  const named = shown.map(({ id, kind, fields = [] }) => {
    const names = fields.map(({ name }) => name).join(', ');
    return `${kind}: ${id}${names && ` (${names})`}`;
  });
  const others = results.flatMap(({ differences, wouldWrite = [] }) => (differences ? [] : wouldWrite));
  const lines = [
    ...named,
    ...(only ? [] : others.map((id) => `would be written: ${id}`)),
    ...(only ? [] : problemsOf(results)),
  ];
  const partly = early ? ` It ended early (${early.reason}), so this is not all.` : '';
  const sentence = only
    ? `${counts.removed} records would be removed${counts.removed > shown.length ? `; the first ${shown.length} of them` : ''}.`
    : `A dry run, nothing was written: ${formatCounts(counts, true)}.`;
  return { outcome: 'done', sentence: sentence + partly, lines };
}

const whyOf = ({ message, reason }: Result) => message ?? reason;

/** The first records that were not written, each with its reason. */
const problemsOf = (results: Result[]): string[] =>
  results.flatMap(({ problems = [] }) => problems.map(({ id, kind, reason }) => `${kind}: ${id}: ${reason}`));

const sum = (results: Result[]): Counts => results.reduce((all, { report }) => addCounts(all, report), noCounts());
