import { useState } from 'preact/hooks';
import type { Status } from '../../../lib/run/status.ts';
import { Confirm } from './dialog.tsx';
import { counted, number, shown } from './words.ts';

const MAX_SHOWN = 20;

/** The records that the timer could not write. */
export function Failed({ status, told }: { status: Status; told(text: string): void }) {
  const [open, setOpen] = useState(false);
  const { job, failed, failedCount = failed.length } = status;
  if (failedCount === 0) return null;
  const more = failedCount - Math.min(failed.length, MAX_SHOWN);
  return (
    <div class="part failed-records">
      <h3>
        {counted(failedCount, 'failed record')}
        <button type="button" onClick={() => setOpen(true)}>
          Retry now
        </button>
      </h3>
      <ul class="lines">
        {failed.slice(0, MAX_SHOWN).map(({ id, attempts, reason }) => (
          <li key={id}>
            <code>{shown(id)}</code>: {counted(attempts, 'attempt')}
            {reason && `, ${shown(reason)}`}
          </li>
        ))}
        {more > 0 && <li>and {number(more)} more</li>}
      </ul>
      {open && (
        <Confirm
          job={job}
          told={told}
          close={() => setOpen(false)}
          title={`Retry the failed records of ${job}`}
          sentence={`${counted(failed.length, 'record')} ${failed.length === 1 ? 'is' : 'are'} read by id and written now; it waits up to a minute for the lock.`}
          verb="Retry now"
          action={() => ({ do: 'retry-failed' })}
        />
      )}
    </div>
  );
}
