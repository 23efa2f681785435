import type { BackfillStatus } from '../../lib/run/backfill-status.ts';
import type { Status } from '../../lib/run/status.ts';
import { backfillCommand, type Where } from './backfill-command.ts';
import { formatBar, formatDuration, formatRemaining, nameOfRange } from './bar.ts';
import { formatCounts } from './counts.ts';

/** Nothing happens for so long only where no event of the backfill is left, or where somebody else holds the lock all the time. */
const STALLED_MS = 30 * 60_000;

/** The lines about what has changed since the last look. */
export function newsOf(before: BackfillStatus | undefined, now: BackfillStatus, nowMs: number): string[] {
  const { id, window, windows, shards, shardsDone, counts, lastError, notBefore, attempts } = now;
  const elapsedMs = nowMs - Date.parse(now.startedAt);
  const so = `${formatCounts(counts)}; ${formatDuration(elapsedMs)}, ${formatRemaining(now.done, elapsedMs)}`;
  const again =
    notBefore && notBefore > new Date(nowMs).toISOString() ? `it goes on at ${notBefore}` : 'it is tried again';
  return [
    ...(before ? [] : [`backfill ${id}: ${describeBackfill(now)}`]),
    ...(windows > 1 && window > (before?.window ?? 0) ? [`window ${window} of ${windows} is through: ${so}`] : []),
    ...(shards > 1 && shardsDone > (before?.shardsDone ?? 0)
      ? [`${shardsDone} of ${shards} shards are through: ${so}`]
      : []),
    ...(now.status === 'running' && lastError && attempts > 0 && attempts !== before?.attempts
      ? [`${lastError.name}: ${lastError.message}; ${again} (attempt ${attempts} of 5 without progress)`]
      : []),
    ...(now.status === 'running' && !lastError && notBefore && notBefore !== before?.notBefore
      ? [`a server wants to be left alone: ${again}`]
      : []),
  ];
}

/** The line about a backfill of which nothing is heard; undefined while that says nothing. */
export function describeStall(backfill: BackfillStatus, nowMs: number, where: Where): string | undefined {
  const { id, status, updatedAt, notBefore = updatedAt } = backfill;
  if (status !== 'running' || nowMs - Date.parse(notBefore) <= STALLED_MS) return undefined;
  const command = backfillCommand(where, { resume: id });
  return `nothing has happened since ${updatedAt}: to send its next step once more: ${command}`;
}

/** The line about a lock that somebody else holds; undefined where it is free, or held by the backfill itself in any shard. */
export function describeWait({ heldBy, shards = [] }: Status, { id, status }: BackfillStatus): string | undefined {
  const holders = [heldBy, ...shards.map((shard) => shard.heldBy)].filter((holder) => holder !== undefined);
  const [holder] = holders;
  if (status !== 'running' || !holder || holders.some(({ backfillId }) => backfillId === id)) return undefined;
  const { kind = 'run', runId, startedAt, key } = holder;
  if (!runId) return `waits for the lock, which another program holds by key ${key}`;
  return `waits for the lock, which ${kind} ${runId} has held since ${startedAt ?? 'an unknown time'}`;
}

/** `from … until …, 5 windows, 2 shards`. */
export function describeBackfill({ since, until, ids, windows, shards }: BackfillStatus): string {
  return [
    nameOfRange({ since, until }, ids),
    ...(windows > 1 ? [`${windows} windows`] : []),
    ...(shards > 1 ? [`${shards} shards`] : []),
  ].join(', ');
}

export function describeBar({ done, window, windows, counts, rate, startedAt }: BackfillStatus, nowMs: number): string {
  const elapsedMs = nowMs - Date.parse(startedAt);
  const place = windows > 1 ? `window ${Math.min(window + 1, windows)} of ${windows}, ` : '';
  const speed = rate === undefined ? '' : `, ${Math.round(rate)} records/s`;
  const times = `${formatDuration(elapsedMs)}, ${formatRemaining(done, elapsedMs)}`;
  return `${formatBar(done)}  ${place}${formatCounts(counts)}${speed}  ${times}`;
}

/** The lines about a backfill that has ended: how, and what to do next. */
export function endOf({ removalsWithheld }: Status, backfill: BackfillStatus, where: Where): string[] {
  const { id, status, counts, startedAt, endedAt = startedAt, lastError, failedCount = 0, failed = [] } = backfill;
  const took = formatDuration(Date.parse(endedAt) - Date.parse(startedAt));
  const isWhole = !(backfill.since || backfill.until || backfill.ids);
  const error = lastError ? `: ${lastError.name}: ${lastError.message}` : '';
  const resume = [`  ${backfillCommand(where, { resume: id })}`];
  return [
    ...{
      completed: [`completed: ${formatCounts(counts)}; it took ${took}`],
      failed: [
        `failed${error}`,
        `${formatCounts(counts)}; to go on with it where it was, once that is mended:`,
        ...resume,
      ],
      cancelled: [
        `cancelled: ${formatCounts(counts)}; what is written stays; to go on with it where it was:`,
        ...resume,
      ],
      running: [],
    }[status],
    ...(counts.missing + counts.invalid > 0
      ? [
          `${counts.missing} missing and ${counts.invalid} invalid records: the log of the function backfill names the first ones`,
        ]
      : []),
    ...(failed.length > 0
      ? [`not written: ${describeFailed(failedCount, failed.length)}:`, `  ${backfillCommand(where, { ids: failed })}`]
      : []),
    ...(status === 'completed' && isWhole && removalsWithheld
      ? [`${removalsWithheld} vanished records were not removed: "serverless status --job …" says what to do`]
      : []),
  ];
}

const describeFailed = (count: number, named: number) =>
  count === named
    ? `${count} records; to write them again`
    : `${count} records, ${count - named} of them named only in the function's log; to write the others again`;
