import { useState } from 'preact/hooks';
import type { JobView, Operation } from '../api.ts';
import { BackfillDialog } from './backfill-dialog.tsx';
import { Confirm } from './dialog.tsx';
import { ResetDialog } from './reset-dialog.tsx';
import { moment } from './words.ts';

type Open = 'tick' | 'pause' | 'resume' | 'backfill' | 'reset' | undefined;

interface Props {
  view: JobView;
  operations: Operation[];
  told(text: string): void;
}

/** The buttons of a job; each opens a dialog that says what it will do. */
export function Actions({ view, operations, told }: Props) {
  const [open, setOpen] = useState<Open>();
  const [note, setNote] = useState('');
  const { job, status } = view;
  const dialog = { job, told, close: () => setOpen(undefined) };
  const pausing = status?.pause ? 'resume' : 'pause';
  return (
    <fieldset class="actions" aria-label={`Actions of ${job}`}>
      <button type="button" onClick={() => setOpen('tick')}>
        Tick now
      </button>
      <button type="button" onClick={() => setOpen(pausing)}>
        {status?.pause ? 'Resume' : 'Pause'}
      </button>
      <button type="button" onClick={() => setOpen('backfill')}>
        Backfill
      </button>
      <button type="button" onClick={() => setOpen('reset')}>
        Reset
      </button>
      {open === 'tick' && (
        <Confirm
          {...dialog}
          title={`Tick ${job} now`}
          sentence="One tick is sent at once, beside those of the timer. If the lock is held or the timer is paused, it is skipped."
          verb="Tick now"
          action={() => ({ do: 'tick' })}
        />
      )}
      {open === 'pause' && (
        <Confirm
          {...dialog}
          title={`Pause ${job}`}
          sentence="The timer's ticks are skipped until somebody resumes it. A run that is under way goes on to its end."
          verb="Pause"
          action={() => ({ do: 'pause', ...(note && { note }) })}
        >
          <label>
            Note, for whoever looks next
            <input value={note} maxLength={500} onInput={({ currentTarget }) => setNote(currentTarget.value)} />
          </label>
        </Confirm>
      )}
      {open === 'resume' && (
        <Confirm
          {...dialog}
          title={`Resume ${job}`}
          sentence={`The pause since ${moment(status?.pause?.since ?? '', Date.now())} ends, and the next tick that is due works again.`}
          verb="Resume"
          action={() => ({ do: 'resume' })}
        />
      )}
      {open === 'backfill' && <BackfillDialog {...dialog} operations={operations} />}
      {open === 'reset' && <ResetDialog {...dialog} />}
    </fieldset>
  );
}
