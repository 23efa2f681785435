import { useState } from 'preact/hooks';
import type { Action } from '../action.ts';
import { Confirm } from './dialog.tsx';
import { instantOf, TIME_ZONE } from './instants.ts';

type Part = Extract<Action, { do: 'reset' }>['what'];

const PARTS: [part: Part, name: string, sentence: string][] = [
  ['checkpoint', 'The unfinished pass', 'The pass under way is forgotten, and the next tick begins a new one.'],
  ['failed', 'The list of failed records', 'The list is emptied; its records are not read again until they change.'],
  ['watermark', 'The watermark', 'The next tick reads what changed since the time below, or without one everything.'],
];

/** Asks which part of the state to reset. */
export function ResetDialog(dialog: { job: string; close(): void; told(text: string): void }) {
  const [what, setWhat] = useState<Part>('checkpoint');
  const [to, setTo] = useState('');
  const sentence = PARTS.find(([part]) => part === what)![2];
  return (
    <Confirm
      {...dialog}
      title={`Reset ${dialog.job}`}
      sentence={`${sentence} If a run holds the lock, nothing is reset.`}
      verb="Reset"
      action={() => {
        const instant = what === 'watermark' ? instantOf(to) : undefined;
        return { do: 'reset', what, ...(instant && { to: instant }) };
      }}
    >
      <fieldset>
        <legend>What to reset</legend>
        {PARTS.map(([part, name]) => (
          <label key={part} class="choice">
            <input type="radio" name="what" checked={what === part} onChange={() => setWhat(part)} />
            {name}
          </label>
        ))}
      </fieldset>
      {what === 'watermark' && (
        <label>
          Read from ({TIME_ZONE})
          <input
            type="datetime-local"
            step="1"
            value={to}
            onInput={({ currentTarget }) => setTo(currentTarget.value)}
          />
        </label>
      )}
    </Confirm>
  );
}
