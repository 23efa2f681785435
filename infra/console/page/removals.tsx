import { useState } from 'preact/hooks';
import type { Status } from '../../../lib/run/status.ts';
import { Confirm } from './dialog.tsx';
import { counted, moment, number } from './words.ts';

/** Removals that wait for an approval. */
export function Removals({ status, nowMs, told }: { status: Status; nowMs: number; told(text: string): void }) {
  const [open, setOpen] = useState<'show' | 'approve' | 'withdraw'>();
  const { job, removals } = status;
  if (!removals) return null;
  const { withheld, of, at, approvedUpTo = 0 } = removals;
  const dialog = { job, told, close: () => setOpen(undefined) };
  const approved = approvedUpTo >= withheld;
  return (
    <div class="part removals">
      <h3>
        {counted(withheld, 'removal')} withheld
        <button type="button" onClick={() => setOpen('show')}>
          Show what would go
        </button>
        <button type="button" onClick={() => setOpen(approved ? 'withdraw' : 'approve')}>
          {approved ? 'Withdraw the approval' : `Approve up to ${number(withheld)}`}
        </button>
      </h3>
      <p>
        The source no longer has {number(withheld)} of the {number(of)} records at the target, as a pass found at{' '}
        {moment(at, nowMs)}.{' '}
        {approvedUpTo > 0
          ? `Up to ${number(approvedUpTo)} are approved${approved ? ': the next full pass removes them.' : '.'}`
          : 'They stay until somebody approves.'}
      </p>
      {open === 'show' && (
        <Confirm
          {...dialog}
          title={`What would be removed by ${job}`}
          sentence="A dry run compares target and source and names the first records that would go. It writes nothing and takes no lock."
          verb="Compare"
          action={() => ({ do: 'show-removals' })}
        />
      )}
      {open === 'approve' && (
        <Confirm
          {...dialog}
          title={`Approve removals of ${job}`}
          sentence={`The next full pass removes up to ${number(withheld)} records at the target. Removed records do not come back by themselves.`}
          verb={`Approve up to ${number(withheld)}`}
          action={() => ({ do: 'approve-removals', upTo: withheld })}
        />
      )}
      {open === 'withdraw' && (
        <Confirm
          {...dialog}
          title={`Withdraw the approval of ${job}`}
          sentence="The next full pass removes none of them again."
          verb="Withdraw"
          action={() => ({ do: 'approve-removals', upTo: 0 })}
        />
      )}
    </div>
  );
}
