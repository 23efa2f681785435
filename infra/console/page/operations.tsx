import type { Operation } from '../api.ts';
import { Mark, type Sign } from './mark.tsx';
import { moment, shown } from './words.ts';

const SIGNS = { done: 'completed', refused: 'skipped', failed: 'failed' } satisfies Record<string, Sign>;
const MAX_SHOWN = 3;

/** What was asked for from this console, and what came of it. */
export function Operations({ operations, nowMs }: { operations: Operation[]; nowMs: number }) {
  if (operations.length === 0) return null;
  return (
    <ul class="operations" aria-label="What was done from this console">
      {operations.slice(0, MAX_SHOWN).map((one) => (
        <li key={one.id} class={one.outcome ?? 'under-way'}>
          <Mark sign={one.outcome ? SIGNS[one.outcome] : 'running'} />
          <div>
            <b>{one.action.replaceAll('-', ' ')}</b> {moment(one.startedAt, nowMs)}: {shown(one.sentence)}
            <Lines lines={one.lines ?? []} />
          </div>
        </li>
      ))}
    </ul>
  );
}

export function Lines({ lines }: { lines: string[] }) {
  if (lines.length === 0) return null;
  return (
    <ul class="lines">
      {lines.map((line, index) => (
        <li key={`${index} ${line}`}>{shown(line)}</li>
      ))}
    </ul>
  );
}
