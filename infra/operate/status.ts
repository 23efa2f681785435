import type { Status } from '../../lib/run/status.ts';
import { backfillCommand, commandFor, type Where } from './backfill-command.ts';
import { describeBackfill } from './backfill-lines.ts';
import { formatCounts } from './counts.ts';

type Run = NonNullable<Status['lastRun']>;

const MAX_FAILED = 10;
const MAX_BACKFILLS = 5;

type Row = [name: string, text: string | undefined];

/** Describes the status for a reader, one line for each fact. Commands in it are for the deployment that was asked. */
export function describeStatus(status: Status, asked: Where = {}): string[] {
  const { job, stage, pause, shards, shardCount = shards?.length ?? 0 } = status;
  const where = { ...asked, job };
  const rows: Row[] = [
    ['job', `${job}, stage ${stage}`],
    ['timer', pause ? describePause(pause) : 'not paused'],
    ...(shards?.flatMap((shard, index): Row[] => [['shard', `${index} of ${shardCount}`], ...rowsOf(shard)]) ??
      rowsOf(status)),
    ['', shards && shardCount > shards.length ? `and ${shardCount - shards.length} more shards` : undefined],
    ...failedRows(status),
    ...backfillRows(status, where),
    ['to approve', howToApprove(status, where)],
  ];
  return rows.flatMap(([name, text]) => (text === undefined ? [] : [`${name.padEnd(16)}${text}`]));
}

/**
 * Says what a change under the lock left as it was, and why; undefined if it changed everything.
 * @param done what should have been done: `reset`, `approved`
 */
export function describeSkipped({ skipped, shards }: Status, done: string): string | undefined {
  if (skipped) return `nothing was ${done}: ${skipped.message}`;
  const left = shards?.flatMap(({ skipped }, index) => (skipped ? [`shard ${index} (${skipped.message})`] : []));
  return left?.length ? `not ${done}: ${left.join(', ')}` : undefined;
}

function rowsOf(status: Status): Row[] {
  const { watermark, unfinishedPass: pass, failedCount, consecutiveSkips, lastRun, lastBackfill } = status;
  return [
    ['lock', describeHolder(status)],
    ['', status.advice],
    ['skipped', consecutiveSkips === 0 ? undefined : `${consecutiveSkips} ticks in a row, because the lock was held`],
    ['last run', lastRun ? describeRun(lastRun) : 'none yet'],
    ['', describeError(lastRun)],
    ['last completed', status.lastCompletedStartedAt && `began ${status.lastCompletedStartedAt}`],
    ['last backfill', lastBackfill && describeRun(lastBackfill)],
    ['', describeError(lastBackfill)],
    ['unfinished pass', pass && `began ${pass.startedAt}, ${formatCounts(pass.counts)}; the next tick continues it`],
    ['watermark', watermark ? describeWatermark(watermark) : 'none: the next pass reads everything'],
    ['removals', status.removals && describeRemovals(status.removals)],
    ['failed records', failedCount ? `${failedCount}, which the next ticks read again` : 'none'],
  ];
}

/** The first failed records, of all shards. */
function failedRows({ failed, failedCount = failed.length, shards }: Status): Row[] {
  const shown = failed.slice(0, MAX_FAILED).map(({ id, attempts, reason }) => {
    const why = reason ? `: ${reason}` : '';
    return `${id} (attempts: ${attempts})${why}`;
  });
  const more = failedCount - shown.length;
  const all = failedCount === failed.length ? 'lists all' : `lists ${failed.length} of all`;
  if (more > 0) shown.push(`and ${more} more: --json ${all}`);
  return shown.map((text, index) => [shards && index === 0 ? 'failed in all' : '', text]);
}

/** The newest backfills that go on by themselves; first those that run. */
function backfillRows({ backfills }: Status, where: Where): Row[] {
  const running = backfills.find(({ status }) => status === 'running');
  const ordered = backfills.toSorted((a, b) => Number(b.status === 'running') - Number(a.status === 'running'));
  const shown = ordered.slice(0, MAX_BACKFILLS).map(describeBackfillState);
  if (running) shown.push(`to watch it: ${backfillCommand(where, { watch: running.id })}`);
  return shown.map((text, index) => [index === 0 ? 'backfills' : '', text]);
}

function describeBackfillState(backfill: Status['backfills'][number]): string {
  const { id, status, done, counts, startedAt, startedBy, lastError } = backfill;
  const how = status === 'running' ? `running, ${Math.floor(done * 100)} % done` : status;
  const by = startedBy ? ` by ${startedBy}` : '';
  const error = status !== 'completed' && lastError ? `; ${lastError.name}: ${lastError.message}` : '';
  return `${id}: ${how}, ${formatCounts(counts)}, ${describeBackfill(backfill)}, started ${startedAt}${by}${error}`;
}

const describePause = ({ since, note }: NonNullable<Status['pause']>) =>
  `paused since ${since}${note ? `: ${note}` : ''}`;

const describeWatermark = ({ at, fullAt }: NonNullable<Status['watermark']>) =>
  `${at}${fullAt ? `, the last full pass began ${fullAt}` : ''}`;

function describeRemovals({ withheld, of, at, approvedUpTo = 0 }: NonNullable<Status['removals']>): string {
  const approved =
    approvedUpTo < withheld ? `approved up to ${approvedUpTo}` : 'approved: the next full pass removes them';
  return `${withheld} of ${of} records at the target withheld ${at}, ${approvedUpTo ? approved : 'not approved'}`;
}

function howToApprove({ removals }: Status, where: Where): string | undefined {
  if (!removals || (removals.approvedUpTo ?? 0) >= removals.withheld) return undefined;
  const command = commandFor('approve-removals', where, [['up-to', `${removals.withheld}`]]);
  return `if the source is right to have no such records: ${command}`;
}

const describeRun = ({ runId, status, startedAt, endedAt, report }: Run) =>
  `${status} ${endedAt}, began ${startedAt}, ${formatCounts(report)} (run ${runId})`;

const describeError = (run: Run | undefined) => run?.error && `${run.error.name}: ${run.error.message}`;

function describeHolder({ heldBy, lockKey }: Status): string {
  if (!heldBy) return `free (${lockKey})`;
  const { runId, kind, startedAt, host, key, leaseRemainingSeconds: seconds, waiting: behind } = heldBy;
  const waiting = behind ? `; keys that wait behind it: ${behind}` : '';
  const lease = `${seconds === undefined ? '' : `; its lease ends in ${seconds} s unless it is kept alive`}${waiting}`;
  if (!runId) return `held by another program, key ${key}${lease}`;
  return `held by ${kind ?? 'run'} ${runId} since ${startedAt ?? 'an unknown time'} on ${host ?? 'an unknown host'}${lease}`;
}
