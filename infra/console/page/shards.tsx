import type { Status } from '../../../lib/run/status.ts';
import { moment, number, shown } from './words.ts';

/** One line for each shard of a job that is divided. */
export function Shards({ status, nowMs }: { status: Status; nowMs: number }) {
  const { shards } = status;
  if (!shards) return null;
  return (
    <details class="table">
      <summary>{number(status.shardCount ?? shards.length)} shards</summary>
      <ul class="lines">
        {shards.map(({ heldBy, lastRun, lockKey, failedCount = 0 }, index) => (
          <li key={lockKey}>
            Shard {index}: {heldBy ? `held by ${shown(heldBy.runId ?? heldBy.key)}` : 'free'};{' '}
            {lastRun ? `last run ${lastRun.status}, ${moment(lastRun.endedAt, nowMs)}` : 'no run yet'};{' '}
            {number(failedCount)} failed
          </li>
        ))}
      </ul>
    </details>
  );
}
