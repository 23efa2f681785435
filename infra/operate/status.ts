import { type Counts, told } from './progress.ts';

interface Run {
  runId: string;
  kind: string;
  status: string;
  startedAt: string;
  endedAt: string;
  report: Counts;
  error?: { name: string; message: string };
}

/** What `control` answers, as far as it is shown. */
export interface Status {
  job: string;
  stage: string;
  lockKey: string;
  heldBy?: {
    runId?: string;
    kind?: string;
    startedAt?: string;
    host?: string;
    key: string;
    leaseRemainingSeconds?: number;
  };
  advice?: string;
  paused: boolean;
  pause?: { since: string; note?: string };
  consecutiveSkips: number;
  lastRun?: Run;
  lastCompletedStartedAt?: string;
  lastBackfill?: Run;
  watermark?: { at: string; fullAt?: string };
  unfinishedPass?: { startedAt: string; since?: string; until?: string; counts: Counts };
  failed: { id: string; attempts: number }[];
  skipped?: { message: string };
  /** Each shard's own, where the job runs in shards. */
  shards?: Status[];
}

const MAX_FAILED = 10;

type Row = [name: string, text: string | undefined];

/** The status for a reader, a line for each thing. */
export function describeStatus(status: Status): string[] {
  const { job, stage, pause, shards } = status;
  const rows: Row[] = [
    ['job', `${job}, stage ${stage}`],
    ['timer', pause ? pauseOf(pause) : 'not paused'],
    ...(shards?.flatMap((shard, index): Row[] => [['shard', `${index} of ${shards.length}`], ...rowsOf(shard)]) ??
      rowsOf(status)),
  ];
  return rows.flatMap(([name, text]) => (text === undefined ? [] : [`${name.padEnd(16)}${text}`]));
}

/** What was not reset and why, if anything was to be. */
export function notReset({ skipped, shards }: Status): string | undefined {
  if (skipped) return `nothing was reset: ${skipped.message}`;
  const left = shards?.flatMap(({ skipped }, index) => (skipped ? [`shard ${index} (${skipped.message})`] : []));
  return left?.length ? `not reset: ${left.join(', ')}` : undefined;
}

function rowsOf(status: Status): Row[] {
  const { watermark, unfinishedPass: pass, failed, consecutiveSkips } = status;
  return [
    ['lock', holder(status)],
    ['', status.advice],
    ['skipped', consecutiveSkips === 0 ? undefined : `${consecutiveSkips} ticks in a row, because the lock was held`],
    ['last run', status.lastRun ? run(status.lastRun) : 'none yet'],
    ['', status.lastRun?.error && `${status.lastRun.error.name}: ${status.lastRun.error.message}`],
    ['last completed', status.lastCompletedStartedAt && `began ${status.lastCompletedStartedAt}`],
    ['last backfill', status.lastBackfill && run(status.lastBackfill)],
    ['', status.lastBackfill?.error && `${status.lastBackfill.error.name}: ${status.lastBackfill.error.message}`],
    ['unfinished pass', pass && `began ${pass.startedAt}, so far ${told(pass.counts)}; the next tick goes on with it`],
    ['watermark', watermark ? `${watermark.at}${full(watermark.fullAt)}` : 'none: the next pass is a full one'],
    ['failed records', failed.length === 0 ? 'none' : `${failed.length}, read again at the next ticks`],
    ...failed.slice(0, MAX_FAILED).map(({ id, attempts }): [string, string] => ['', `${id} (attempts: ${attempts})`]),
    ['', failed.length > MAX_FAILED ? `and ${failed.length - MAX_FAILED} more: --json lists all` : undefined],
  ];
}

const pauseOf = ({ since, note }: { since: string; note?: string }) =>
  `paused since ${since}${note ? `: ${note}` : ''}`;

const full = (at: string | undefined) => (at ? `, the last full pass began ${at}` : '');

const run = ({ runId, status, startedAt, endedAt, report }: Run) =>
  `${status} ${endedAt}, began ${startedAt}, ${told(report)} (run ${runId})`;

function holder({ heldBy, lockKey }: Status): string {
  if (!heldBy) return `free (${lockKey})`;
  const { runId, kind, startedAt, host, key, leaseRemainingSeconds: seconds } = heldBy;
  const lease = seconds === undefined ? '' : `; its lease has ${seconds} s unless it is kept alive`;
  if (!runId) return `held by another program, key ${key}${lease}`;
  return `held by ${kind ?? 'run'} ${runId} since ${startedAt ?? 'an unknown time'} on ${host ?? 'an unknown host'}${lease}`;
}
