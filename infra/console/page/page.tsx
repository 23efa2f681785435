import { useEffect, useState } from 'preact/hooks';
import type { Operation } from '../api.ts';
import { JobCard } from './job-card.tsx';
import { useNow, usePolled } from './polled.ts';
import { moment, shown, span } from './words.ts';

/** What is older than this is said to be old. */
const OLD_MS = 15_000;

export function Page() {
  const { answer, receivedMs, failure, refresh } = usePolled();
  const nowMs = useNow();
  const [fault, setFault] = useState('');
  const ageMs = receivedMs === undefined ? undefined : Math.max(0, nowMs - receivedMs);
  const old = ageMs !== undefined && ageMs > OLD_MS;
  const news = fault || newest(answer?.operations ?? []);

  useEffect(() => {
    if (answer) document.title = `${answer.jobs.map(({ job }) => job).join(', ')} (${answer.stage}) · solotick`;
  }, [answer?.stage, answer?.jobs.length]);

  return (
    <>
      <header class="top">
        <h1>
          solotick <span class="stage">{answer ? `stage ${answer.stage}${answer.local ? ', local' : ''}` : ''}</span>
        </h1>
        <p class={old ? 'age old' : 'age'}>{ageMs === undefined ? 'Asking…' : `Updated ${span(ageMs)} ago`}</p>
      </header>
      {(failure || old) && (
        <p class="banner" role="alert">
          {/* A text that changed each second would be read out each second. */}
          {failure} {old && `What you see is of ${moment(new Date(receivedMs!).toISOString(), nowMs)}.`}
        </p>
      )}
      <p class="news" role="status" aria-live="polite">
        {shown(news)}
      </p>
      <main>
        {answer?.jobs.map((view) => (
          <JobCard
            key={view.job}
            view={view}
            nowMs={nowMs}
            operations={answer.operations.filter(({ job }) => job === view.job)}
            told={(text) => {
              setFault(text);
              refresh();
            }}
          />
        ))}
      </main>
    </>
  );
}

/** What came of the latest action that has ended. */
function newest(operations: Operation[]): string {
  const [last] = operations
    .filter(({ endedAt }) => endedAt !== undefined)
    .toSorted((a, b) => b.endedAt!.localeCompare(a.endedAt!));
  return last ? `${last.job}: ${last.sentence}` : '';
}
