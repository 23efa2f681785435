import type { Status } from '../../../lib/run/status.ts';
import { counted, duration, moment, number, shown, span } from './words.ts';

export type PastRun = NonNullable<Status['history']>[number];

/** A run in the strip, or a time in which nothing ran. */
export type StripItem = { key: string; label: string } & (
  | { kind: 'run'; run: PastRun; height: number }
  | { kind: 'gap'; skips: number; long: boolean }
);

/** Nothing ran where the time between two runs is so many times the usual one. */
const GAP_FACTOR = 2.5;

const startOf = ({ startedAt }: PastRun) => Date.parse(startedAt);
const endOf = ({ endedAt }: PastRun) => Date.parse(endedAt);
export const durationOf = (run: PastRun) => Math.max(0, endOf(run) - startOf(run));

/** What the strip shows, oldest first: runs by duration, and gaps. A run's height is a share from 0 to 1. */
export function stripOf(status: Status, nowMs: number): StripItem[] {
  const runs = status.history.toReversed();
  const longest = Math.max(1, ...runs.map(durationOf));
  const usualMs = usualDistance(runs);
  const items: StripItem[] = [];
  // Shards run side by side, so the run before may have ended before an earlier one.
  let endMs: number | undefined;
  for (const run of runs) {
    const gap = endMs !== undefined && gapBetween(endMs, startOf(run), usualMs, run.skipsBefore ?? 0);
    if (gap) items.push({ ...gap, key: `${run.runId} before` });
    const height = 0.12 + 0.88 * Math.sqrt(durationOf(run) / longest);
    items.push({ kind: 'run', key: `${run.runId} ${run.endedAt}`, run, height, label: describeRun(run, nowMs) });
    endMs = Math.max(endMs ?? 0, endOf(run));
  }
  const running = [status, ...(status.shards ?? [])].some(({ heldBy }) => heldBy);
  const gap = endMs !== undefined && !running && gapBetween(endMs, nowMs, usualMs, 0);
  if (gap) items.push({ ...gap, key: 'now' });
  return items;
}

/** The median time from one start to the next of the same shard. */
function usualDistance(runs: PastRun[]): number {
  const distances = [...Map.groupBy(runs, ({ shard }) => shard?.index).values()].flatMap((ofShard) =>
    ofShard.slice(1).map((run, index) => startOf(run) - startOf(ofShard[index]!)),
  );
  return distances.sort((a, b) => a - b)[Math.floor(distances.length / 2)] ?? Number.POSITIVE_INFINITY;
}

function gapBetween(endMs: number, startMs: number, usualMs: number, skips: number) {
  const long = startMs - endMs > Math.max(1000, GAP_FACTOR * usualMs);
  if (skips === 0 && !long) return undefined;
  const held =
    skips > 0 ? `${counted(skips, 'tick')} found the lock held and ${skips === 1 ? 'was' : 'were'} skipped` : '';
  const nothing = long ? `nothing ran for ${span(startMs - endMs)}` : '';
  const label = [held, nothing].filter(Boolean).join('; ');
  return { kind: 'gap' as const, skips, long, label: label.charAt(0).toUpperCase() + label.slice(1) };
}

/** One sentence of a run: when, what became of it and why, what it did. */
export function describeRun(run: PastRun, nowMs: number): string {
  const { kind, status, endedAt, report, shard } = run;
  const name = `${kind === 'backfill' ? 'Backfill' : 'Tick'}${shard ? ` of shard ${shard.index}` : ''}`;
  const why = reasonOf(run);
  return `${name}, ${moment(endedAt, nowMs)}: ${status} after ${duration(durationOf(run))}${why && `, ${why}`}; ${countsOf(report)}`;
}

/** Why a run was partial or failed. */
export function reasonOf({ reason, message, error }: PastRun): string {
  if (error) return shown(`${error.name}: ${error.message}`);
  return shown([reason, message].filter(Boolean).join(': '));
}

const COUNTED = ['read', 'written', 'unchanged', 'removed', 'failed', 'invalid', 'missing'] as const;

/** `687 read, 12 written`; what did not occur is left out. */
export const countsOf = (report: Record<(typeof COUNTED)[number], number>) =>
  COUNTED.flatMap((name) => (report[name] > 0 || name === 'read' ? [`${number(report[name])} ${name}`] : [])).join(
    ', ',
  );
