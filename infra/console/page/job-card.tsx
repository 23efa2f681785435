import { useRef } from 'preact/hooks';
import type { Status } from '../../../lib/run/status.ts';
import type { JobView, Operation } from '../api.ts';
import { Actions } from './actions.tsx';
import { Backfills } from './backfills.tsx';
import { CONDITION_NAMES, conditionOf, lagMs } from './condition.ts';
import { Failed } from './failed.tsx';
import { Mark } from './mark.tsx';
import { Operations } from './operations.tsx';
import { Plot } from './plot.tsx';
import { Removals } from './removals.tsx';
import { RunTable } from './run-table.tsx';
import { stripOf } from './runs.ts';
import { Shards } from './shards.tsx';
import { Strip } from './strip.tsx';
import { counted, moment, number, shown, span } from './words.ts';

interface Props {
  view: JobView;
  nowMs: number;
  operations: Operation[];
  /** Says what came of an action, and asks for what has changed. */
  told(text: string): void;
}

/** All of one job. */
export function JobCard({ view: latest, nowMs, operations, told }: Props) {
  // Without a new status, the last one is better than none; the trouble says that it is old.
  const known = useRef<{ status: Status; atMs: number } | undefined>(undefined);
  if (latest.status) known.current = { status: latest.status, atMs: Date.now() };
  const before = known.current;
  const view: JobView = latest.status || !before ? latest : { ...latest, status: before.status };
  const { job, status, trouble } = view;
  const { condition, sentences } = conditionOf(view, nowMs);
  const items = status ? stripOf(status, nowMs) : [];
  const shownCondition = trouble ? 'unknown' : condition;
  return (
    <section class={`job ${shownCondition}`} aria-labelledby={`job-${job}`}>
      <div class="head">
        <h2 id={`job-${job}`}>{job}</h2>
        <p class="condition">
          <Mark sign={shownCondition} pulse={shownCondition === 'running'} />
          {CONDITION_NAMES[shownCondition]}
        </p>
      </div>
      {trouble && (
        <p class="trouble">
          <strong>{shown(trouble.message)}</strong> {trouble.advice}
          {before && ` Below is what was known at ${moment(new Date(before.atMs).toISOString(), nowMs)}.`}
        </p>
      )}
      <p class="sentences">{sentences.join(' ')}</p>
      {status && (
        <>
          <Facts status={status} nowMs={nowMs} />
          <Actions view={view} operations={operations} told={told} />
          <Operations operations={operations} nowMs={nowMs} />
          <Strip items={items} />
          <Plot items={items} />
          <Backfills status={status} nowMs={nowMs} told={told} />
          <Removals status={status} nowMs={nowMs} told={told} />
          <Failed status={status} told={told} />
          <Shards status={status} nowMs={nowMs} />
          <RunTable history={status.history} nowMs={nowMs} />
        </>
      )}
    </section>
  );
}

function Facts({ status, nowMs }: { status: Status; nowMs: number }) {
  const lag = lagMs(status, nowMs);
  const { failedCount = 0, unfinishedPass: pass, watermark } = status;
  const written = status.history.reduce((sum, { report }) => sum + report.written, 0);
  const facts: [name: string, value: string, note?: string][] = [
    [
      'Lag',
      lag === undefined ? 'unknown' : span(lag),
      lag === undefined ? 'no run has completed yet' : 'since the last completed run began',
    ],
    ['Failed records', number(failedCount), failedCount ? 'read again by the next ticks' : ''],
    ['Written', number(written), `in the last ${counted(status.history.length, 'run')}`],
    [
      'Next pass',
      pass ? 'goes on' : watermark ? 'what changed' : 'everything',
      pass ? `began ${moment(pass.startedAt, nowMs)}` : watermark ? `since ${moment(watermark.at, nowMs)}` : '',
    ],
  ];
  return (
    <dl class="facts">
      {facts.map(([name, value, note]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            {value} {note && <small>{note}</small>}
          </dd>
        </div>
      ))}
    </dl>
  );
}
