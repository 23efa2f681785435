import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { type Columns, clock, columnsOf, LINES, shortCount, ticksUpTo } from './plot-data.ts';
import { durationOf, type StripItem } from './runs.ts';
import { duration, number } from './words.ts';

const HEIGHT = 160;

/** What the runs of the past have done, over time. The table of runs has the same in words. */
export function Plot({ items }: { items: StripItem[] }) {
  const place = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState<number>();
  const columns = columnsOf(items);
  const runs = items.flatMap((item) => (item.kind === 'run' ? [item.run] : []));
  const enough = runs.length > 1;
  const update = usePlot(place, columns, enough, (index) => setAt(index));
  const version = items.map(({ key }) => key).join();
  useEffect(update, [version]);

  if (!enough) return null;
  const seconds = at === undefined ? undefined : columns[0][at];
  const run = runs.find(({ endedAt }) => Date.parse(endedAt) / 1000 === seconds) ?? runs.at(-1)!;
  return (
    <figure class="plot" aria-label="Records written, unchanged, removed and failed by the last runs, over time">
      <div ref={place} />
      <figcaption>
        {LINES.map(({ name, dash }) => (
          <span key={name} class={name}>
            <svg viewBox="0 0 24 8" aria-hidden="true">
              <path d="M0 4h24" stroke-dasharray={dash.join(' ')} />
            </svg>
            {name} {number(run.report[name])}
          </span>
        ))}
        <span>in {duration(durationOf(run))}</span>
      </figcaption>
    </figure>
  );
}

/** Draws into `place`, again where the colours or the width change. @returns what draws the newest columns */
function usePlot(
  place: { current: HTMLDivElement | null },
  columns: Columns,
  enough: boolean,
  at: (index: number | undefined) => void,
): () => void {
  const plot = useRef<uPlot | undefined>(undefined);
  const latest = useRef(columns);
  latest.current = columns;
  useEffect(() => {
    const box = place.current;
    if (!enough || !box) return;
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(optionsOf(box, at), latest.current as uPlot.AlignedData, box);
      // A canvas says nothing; the figure's name and the table do.
      box.firstElementChild?.setAttribute('aria-hidden', 'true');
    };
    draw();
    scheme.addEventListener('change', draw);
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: box.clientWidth, height: HEIGHT }));
    resized.observe(box);
    return () => {
      scheme.removeEventListener('change', draw);
      resized.disconnect();
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [enough]);
  return () => plot.current?.setData(latest.current as uPlot.AlignedData);
}

function optionsOf(box: HTMLElement, at: (index: number | undefined) => void): uPlot.Options {
  const style = getComputedStyle(box);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const axis: uPlot.Axis = {
    stroke: colour('faint'),
    grid: { stroke: colour('line'), width: 1 },
    ticks: { show: false },
    font: '11px system-ui, sans-serif',
  };
  return {
    width: box.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    // Counts lie far apart, and 0 has to be shown.
    scales: { y: { distr: 4, asinh: 5, range: (_, _min, max) => [0, Math.max(10, max * 1.3)] } },
    axes: [
      {
        ...axis,
        space: 90,
        size: 26,
        values: (_, ticks, _axis, _space, step) => ticks.map((tick) => clock(tick, step)),
      },
      {
        ...axis,
        size: 44,
        splits: (_, _axis, _min, max) => ticksUpTo(max),
        filter: (_, ticks) => ticks,
        values: (_, ticks) => ticks.map(shortCount),
      },
    ],
    series: [
      {},
      ...LINES.map(({ name, dash }) => ({ stroke: colour(name), width: 1.5, dash: [...dash], points: { size: 4 } })),
    ],
    hooks: { setCursor: [({ cursor }) => at(cursor.idx ?? undefined)] },
  };
}
