import { useState } from 'preact/hooks';
import type { Action } from '../action.ts';
import type { Operation } from '../api.ts';
import { Confirm } from './dialog.tsx';
import { instantOf, TIME_ZONE } from './instants.ts';
import { Lines } from './operations.tsx';
import { send } from './send.ts';
import { counted, shown } from './words.ts';

type Range = 'window' | 'ids' | 'everything';
type Backfill = Extract<Action, { do: 'backfill' }>;

const RANGES: [range: Range, name: string][] = [
  ['window', 'What changed in a window of time'],
  ['ids', 'Single records'],
  ['everything', 'Everything'],
];

const HOUR = 3600;
const DAY = 24 * HOUR;
const WINDOWS: [seconds: number, name: string][] = [
  [0, 'no windows'],
  [HOUR, 'of an hour'],
  [DAY, 'of a day'],
  [7 * DAY, 'of 7 days'],
  [30 * DAY, 'of 30 days'],
];

/** Asks what to copy; a dry run says first what would be written. */
export function BackfillDialog(props: {
  job: string;
  operations: Operation[];
  close(): void;
  told(text: string): void;
}) {
  const { operations, ...dialog } = props;
  const [range, setRange] = useState<Range>('window');
  const [since, setSince] = useState('');
  const [until, setUntil] = useState('');
  const [windowSeconds, setWindowSeconds] = useState(0);
  const [ids, setIds] = useState('');
  const [rehearsal, setRehearsal] = useState<number | string>();
  const list = ids.split('\n').flatMap((line) => line.trim() || []);

  function asked(dryRun: boolean): Backfill | string {
    if (range === 'everything') return { do: 'backfill', dryRun };
    if (range === 'ids') return list.length > 0 ? { do: 'backfill', ids: list, dryRun } : 'Write an id on each line.';
    const [from, to] = [instantOf(since), instantOf(until)];
    if (!from && !to) return 'Say from when, or until when.';
    if (windowSeconds && !from) return 'To cut it into windows, say from when.';
    const window = windowSeconds > 0 && !dryRun && { windowSeconds };
    return { do: 'backfill', ...(from && { since: from }), ...(to && { until: to }), ...window, dryRun };
  }

  async function dryRun() {
    const action = asked(true);
    if (typeof action === 'string') return setRehearsal(action);
    setRehearsal('Reading…');
    const answer = await send(dialog.job, action);
    setRehearsal('fault' in answer ? answer.fault : answer.id);
    dialog.told('');
  }

  const tried = operations.find(({ id }) => id === rehearsal);
  const what = { window: 'what changed in that time', ids: counted(list.length, 'record'), everything: 'everything' }[
    range
  ];
  return (
    <Confirm
      {...dialog}
      title={`Backfill ${dialog.job}`}
      sentence={`It copies ${what} from the source to the target, in the cloud, and gives way to the timer. A pause does not hold it up.`}
      verb="Start the backfill"
      action={() => asked(false)}
    >
      <fieldset>
        <legend>What to copy</legend>
        {RANGES.map(([value, name]) => (
          <label key={value} class="choice">
            <input type="radio" name="range" checked={range === value} onChange={() => setRange(value)} />
            {name}
          </label>
        ))}
      </fieldset>
      {range === 'window' && (
        <div class="fields">
          <Moment name="Changed at or after" value={since} set={setSince} />
          <Moment name="and before" value={until} set={setUntil} />
          <label>
            Cut it into windows
            <select
              value={windowSeconds}
              onChange={({ currentTarget }) => setWindowSeconds(Number(currentTarget.value))}
            >
              {WINDOWS.map(([seconds, name]) => (
                <option key={seconds} value={seconds}>
                  {name}
                </option>
              ))}
            </select>
          </label>
        </div>
      )}
      {range === 'ids' && (
        <label>
          Ids, one on each line
          <textarea rows={4} value={ids} onInput={({ currentTarget }) => setIds(currentTarget.value)} />
        </label>
      )}
      <div class="rehearsal" role="status">
        <button type="button" onClick={dryRun}>
          Dry run first
        </button>
        <span>{shown(tried?.sentence ?? (typeof rehearsal === 'string' ? rehearsal : ''))}</span>
        <Lines lines={tried?.lines ?? []} />
      </div>
    </Confirm>
  );
}

const Moment = ({ name, value, set }: { name: string; value: string; set(value: string): void }) => (
  <label>
    {name} ({TIME_ZONE})
    <input type="datetime-local" step="1" value={value} onInput={({ currentTarget }) => set(currentTarget.value)} />
  </label>
);
