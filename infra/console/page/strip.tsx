import { useRef, useState } from 'preact/hooks';
import { Mark } from './mark.tsx';
import type { StripItem } from './runs.ts';

const STEPS: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, Home: -1000, End: 1000 };

/**
 * The last runs, oldest first: height by duration, outcome by colour and mark, gaps where nothing ran. The strip is one stop of
 * the tab key; arrows go from run to run.
 */
export function Strip({ items }: { items: StripItem[] }) {
  const [chosen, setChosen] = useState<string>();
  const list = useRef<HTMLUListElement>(null);
  const newest = items.findLast(({ kind }) => kind === 'run') ?? items.at(-1);
  const current = items.find(({ key }) => key === chosen) ?? newest;
  if (!current) return <p class="none">No run yet.</p>;

  const step = (event: KeyboardEvent) => {
    const by = STEPS[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const to = Math.min(items.length - 1, Math.max(0, items.indexOf(current) + by));
    setChosen(items[to]!.key);
    (list.current?.children[to]?.firstElementChild as HTMLElement | undefined)?.focus();
  };

  return (
    <div class="runs">
      <h3>Last runs</h3>
      <ul class="strip" ref={list} onKeyDown={step} onPointerLeave={() => setChosen(undefined)}>
        {items.map((item) => (
          <li key={item.key} class={item.kind}>
            <button
              type="button"
              class={item.kind === 'run' ? `${item.run.status} ${item.run.kind}` : 'gap'}
              aria-label={item.label}
              tabIndex={item === current ? 0 : -1}
              onFocus={() => setChosen(item.key)}
              onClick={() => setChosen(item.key)}
              onPointerEnter={() => setChosen(item.key)}
            >
              <Bar item={item} />
            </button>
          </li>
        ))}
      </ul>
      <p class="tip" aria-hidden="true">
        {current.label}
      </p>
    </div>
  );
}

function Bar({ item }: { item: StripItem }) {
  if (item.kind === 'gap') return <span class="dots">{item.skips > 0 && <Mark sign="skipped" />}</span>;
  const { run, height } = item;
  return (
    <>
      {run.status !== 'completed' && <Mark sign={run.status} />}
      <span class="bar" style={{ height: `${Math.round(height * 100)}%` }} />
    </>
  );
}
