import { useState } from 'preact/hooks';
import type { Status } from '../../../lib/run/status.ts';
import { Confirm } from './dialog.tsx';
import { Mark, type Sign } from './mark.tsx';
import { countsOf } from './runs.ts';
import { counted, moment, number, shown, span } from './words.ts';

type Backfill = NonNullable<Status['backfills']>[number];

const SIGNS: Record<Backfill['status'], Sign> = {
  running: 'running',
  completed: 'completed',
  failed: 'failed',
  cancelled: 'skipped',
};

interface Props {
  status: Status;
  nowMs: number;
  told(text: string): void;
}

/** The backfills that go on by themselves in the cloud, and those that did. */
export function Backfills({ status, nowMs, told }: Props) {
  const [cancelling, setCancelling] = useState<string>();
  const [resuming, setResuming] = useState<string>();
  const { job, backfills } = status;
  if (backfills.length === 0) return null;
  return (
    <div class="part backfills">
      <h3>Backfills</h3>
      <ul>
        {backfills.map((one) => (
          <li key={one.id} class={one.status}>
            <p>
              <Mark sign={SIGNS[one.status]} /> <b>{one.status}</b>: {describeRange(one, nowMs)}
            </p>
            {one.status === 'running' && (
              <p class="progress">
                <progress value={one.done} max={1} aria-label={`Backfill of ${describeRange(one, nowMs)}`} />
                <span>{Math.floor(one.done * 100)} %</span>
                <button type="button" onClick={() => setCancelling(one.id)}>
                  Cancel
                </button>
              </p>
            )}
            <p class="small">{describeProgress(one, nowMs)}</p>
            {one.lastError && <p class="small fault">{shown(`${one.lastError.name}: ${one.lastError.message}`)}</p>}
            {(one.status === 'failed' || one.status === 'cancelled') && (
              <button type="button" onClick={() => setResuming(one.id)}>
                Go on with it
              </button>
            )}
            {one.failed && one.failed.length > 0 && (
              <p class="small">
                {counted(one.failedCount ?? one.failed.length, 'failed record')}: {shown(one.failed.join(', '))}
              </p>
            )}
          </li>
        ))}
      </ul>
      {cancelling && (
        <Confirm
          job={job}
          told={told}
          close={() => setCancelling(undefined)}
          title={`Cancel a backfill of ${job}`}
          sentence="It ends at its next settled page. What it has written stays, and somebody can go on with it."
          verb="Cancel the backfill"
          action={() => ({ do: 'cancel-backfill', backfillId: cancelling })}
        />
      )}
      {resuming && (
        <Confirm
          job={job}
          told={told}
          close={() => setResuming(undefined)}
          title={`Go on with a backfill of ${job}`}
          sentence="It copies what is left of it, in the cloud, and gives way to the timer. A pause does not hold it up."
          verb="Go on"
          action={() => ({ do: 'resume-backfill', backfillId: resuming })}
        />
      )}
    </div>
  );
}

function describeRange({ since, until, ids }: Backfill, nowMs: number): string {
  if (ids !== undefined) return counted(ids, 'id');
  const range = [since && `from ${moment(since, nowMs)}`, until && `until ${moment(until, nowMs)}`].filter(Boolean);
  return range.join(' ') || 'everything';
}

function describeProgress(one: Backfill, nowMs: number): string {
  const { windows, window, shards, shardsDone, counts, rate, startedAt, endedAt, startedBy, attempts, notBefore } = one;
  const parts = [
    countsOf(counts),
    windows > 1 && `window ${number(Math.min(window + 1, windows))} of ${number(windows)}`,
    shards > 1 && `${shardsDone} of ${shards} shards are through`,
    one.status === 'running' && rate !== undefined && `${number(Math.round(rate))} records a second`,
    attempts > 1 && `${attempts} attempts without progress`,
    one.status === 'running' && notBefore && Date.parse(notBefore) > nowMs && `goes on at ${moment(notBefore, nowMs)}`,
    `began ${moment(startedAt, nowMs)}${startedBy ? ` by ${shown(startedBy)}` : ''}`,
    endedAt && `took ${span(Date.parse(endedAt) - Date.parse(startedAt))}`,
  ];
  return parts.filter(Boolean).join('; ');
}
