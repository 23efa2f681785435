import type { Result } from '../../lib/run/result.ts';
import type { Lines } from '../terminal/print-lines.ts';
import { Refusal } from '../terminal/refusal.ts';
import { addCounts, type Counts, formatCounts, noCounts } from './counts.ts';
import type { Functions } from './functions.ts';
import { readInstant } from './options.ts';
import { cut, type Part } from './windows.ts';

/** The options of the command as osls passes them on. */
export interface DiffOptions {
  since?: string;
  until?: string;
  values?: boolean;
  json?: boolean;
}

/** The most records that are named of those that would be written, and of those that would be removed; each shard names as many. */
const MAX_NAMED = 20;

/**
 * Compares the target with the source, shard by shard, by dry runs, and prints how they differ.
 * @returns whether they agree, which is not known of what a run that ended early did not read
 * @throws Refusal
 */
export async function diff(
  options: DiffOptions,
  tools: { invoke: Functions['backfill']; shards: number; print(lines: Lines): void },
): Promise<boolean> {
  const { invoke, shards, print } = tools;
  const values = options.values === true;
  const results: Result[] = [];
  for (const part of cut({ whole: rangeOf(options), shards })) {
    const result = await invoke({ ...part, dryRun: true, ...(values && { values }) });
    if (!result.differences && result.status === 'completed') {
      throw new Refusal(
        'the job does not say how to list its target (target.list), so nothing can be compared; ' +
          '"serverless backfill --dry-run" says what would be written',
      );
    }
    results.push(result);
  }
  if (options.json) print(JSON.stringify(shards === 1 ? results[0] : results, null, 2).split('\n'));
  else print(describeDiff(results));
  return results.every(agrees);
}

function rangeOf({ since, until }: DiffOptions): Part {
  const range = {
    ...(since !== undefined && { since: readInstant('since', since) }),
    ...(until !== undefined && { until: readInstant('until', until) }),
  };
  if (range.since && range.until && range.since >= range.until)
    throw new Refusal(`--since ${range.since} is not before --until ${range.until}`);
  return range;
}

const NOT_LOOKED_FOR =
  'nothing is said of records that have vanished from the source: they are found only where all of it is read, which a window is not, ' +
  'nor the part of a shard that the source divides by itself (source.sharded)';

const different = ({ written, removed, invalid, failed }: Counts) => written + removed + invalid + failed;

const agrees = ({ status, report, differences = [], problems = [] }: Result) =>
  status === 'completed' && different(report) + differences.length + problems.length === 0;

function describeDiff(results: readonly Result[]): string[] {
  const counts = results.reduce((sum, { report }) => addCounts(sum, report), noCounts());
  const early = results.find(({ status }) => status !== 'completed');
  const differences = results.flatMap((result) => result.differences ?? []);
  const problems = results.flatMap((result) => result.problems ?? []);
  const vanished = differences.filter(({ kind }) => kind === 'vanished');
  const others = differences.filter(({ kind }) => kind !== 'vanished');
  const named = [...others.slice(0, MAX_NAMED), ...vanished.slice(0, MAX_NAMED)];
  const more = counts.written + counts.removed - named.length;
  const equal = early ? 'as far as it was read, the target equals the source' : 'the target equals the source';
  return [
    ...(early ? [`partial (${early.reason}): ${early.message ?? 'the run ended early'}`] : []),
    formatCounts(counts, true),
    ...named.flatMap(describeDifference),
    ...(named.length > 0 && more > 0 ? [`  and ${more} more`] : []),
    ...problems.slice(0, MAX_NAMED).map(({ id, kind, reason }) => `  ${kind.padEnd(8)}  ${id}: ${reason}`),
    ...(results.some(({ vanishedUnknown }) => vanishedUnknown) ? [NOT_LOOKED_FOR] : []),
    different(counts) + differences.length + problems.length === 0 ? equal : 'the target differs from the source',
  ];
}

function describeDifference({ id, kind, fields = [] }: NonNullable<Result['differences']>[number]): string[] {
  const names = fields.map(({ name }) => name).join(', ');
  return [
    `  ${kind.padEnd(8)}  ${id}${names && `: ${names}`}`,
    ...fields.flatMap((field) =>
      'source' in field || 'target' in field
        ? [`            ${field.name}: ${shown(field.source)} at the source, ${shown(field.target)} at the target`]
        : [],
    ),
  ];
}

/** The most characters of a value's JSON; the function has cut longer ones, which are text then. */
const MAX_VALUE_LENGTH = 200;

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const json = JSON.stringify(value);
  return typeof value === 'string' && json.length > MAX_VALUE_LENGTH ? value : json;
}
