import type { Status } from '../../lib/run/status.ts';
import { formatDuration } from './bar.ts';

/** A job's status, or why there is none. */
export type JobStatus = { job: string } & ({ status: Status } | { error: string });

/**
 * One line for each job: who runs, how the last tick ended, what it wrote, what is still failed, how far the target lags. Only
 * where a job withholds removals, there is a column for them.
 */
export function statusTable(all: readonly JobStatus[], nowMs: number): string[] {
  const withholds = all.some((one) => 'status' in one && one.status.removalsWithheld);
  const headings = [
    'JOB',
    'RUNNING',
    'LAST RUN',
    'WRITTEN',
    'FAILED',
    ...(withholds ? ['WITHHELD'] : []),
    'LAG',
    'PAUSED',
  ];
  const rows = all.map((one) =>
    'error' in one ? [one.job, one.error] : [one.job, ...cellsOf(one.status, withholds, nowMs)],
  );
  const lines = [headings, ...rows];
  const widths = headings.map((_, column) =>
    // What went wrong takes the whole line.
    Math.max(...lines.flatMap((row) => (row.length === headings.length || column === 0 ? [row[column]!.length] : []))),
  );
  return lines.map((row) =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!))).join('  '),
  );
}

function cellsOf(status: Status, withholds: boolean, nowMs: number): string[] {
  const { pause, failedCount = 0, removalsWithheld = 0, shards = [status] } = status;
  const runs = shards.flatMap(({ lastRun }) => lastRun ?? []);
  const [last] = runs.toSorted((a, b) => Date.parse(b.endedAt) - Date.parse(a.endedAt));
  const written = runs.reduce((sum, { report }) => sum + report.written, 0);
  return [
    describeRunning(shards),
    last
      ? `${last.status}${last.error ? ` (${last.error.name})` : ''} ${last.endedAt.replace(/\.\d+Z$/, 'Z')}`
      : 'none yet',
    last ? String(written) : '-',
    String(failedCount),
    ...(withholds ? [String(removalsWithheld)] : []),
    describeLag(shards, nowMs),
    pause ? `since ${pause.since}${pause.note ? `: ${pause.note}` : ''}` : 'no',
  ];
}

function describeRunning(shards: Status[]): string {
  const holders = shards.flatMap(({ heldBy }) => heldBy ?? []);
  const [holder] = holders;
  if (!holder) return '-';
  if (shards.length > 1) return `${holders.length} of ${shards.length} shards`;
  return holder.runId ? `${holder.kind ?? 'run'} ${holder.runId}` : 'another program';
}

/** The time since the start of the last completed run, behind which the target is complete; in shards, of the oldest. */
function describeLag(shards: Status[], nowMs: number): string {
  const starts = shards.map(({ lastCompletedStartedAt: at }) => (at === undefined ? Number.NaN : Date.parse(at)));
  const oldest = Math.min(...starts);
  return Number.isNaN(oldest) ? 'never' : formatDuration(Math.max(0, nowMs - oldest));
}
