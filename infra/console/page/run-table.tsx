import { Mark } from './mark.tsx';
import { countsOf, durationOf, type PastRun, reasonOf } from './runs.ts';
import { duration, moment, shown } from './words.ts';

/** The same runs as in the strip and the plot, in words. */
export function RunTable({ history, nowMs }: { history: PastRun[]; nowMs: number }) {
  if (history.length === 0) return null;
  return (
    <details class="table">
      <summary>Runs as a table</summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by the keyboard */}
      <section class="scroll" tabIndex={0} aria-label="Table of runs">
        <table>
          <thead>
            <tr>
              {['Ended', 'Run', 'Outcome', 'Took', 'Counts', 'Reason'].map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {history.map((run) => (
              <tr key={`${run.runId} ${run.endedAt}`}>
                <td>{moment(run.endedAt, nowMs)}</td>
                <td>{`${run.kind}${run.shard ? ` ${run.shard.index}` : ''}`}</td>
                <td class={run.status}>
                  <Mark sign={run.status} /> {run.status}
                </td>
                <td>{duration(durationOf(run))}</td>
                <td>{countsOf(run.report)}</td>
                <td>{[reasonOf(run), run.startedBy && `by ${shown(run.startedBy)}`].filter(Boolean).join('; ')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </details>
  );
}
