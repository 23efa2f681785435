import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { durationOf, type PastRun } from './runs.ts';
import { number } from './words.ts';

const HEIGHT = 150;

/** The lines differ by their dashes as well, for whoever cannot tell the colours. */
const LINES = [
  { name: 'written', dash: [] },
  { name: 'unchanged', dash: [2, 3] },
  { name: 'removed', dash: [8, 3] },
  { name: 'failed', dash: [8, 3, 2, 3] },
] as const;

/** What the runs of the past have done, over time. The table of runs has the same in words. */
export function Plot({ history }: { history: PastRun[] }) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const [at, setAt] = useState<number>();
  const runs = history.toReversed();
  const data: uPlot.AlignedData = [
    runs.map(({ endedAt }) => Date.parse(endedAt) / 1000),
    ...LINES.map(({ name }) => runs.map(({ report }) => report[name] ?? 0)),
  ];
  const enough = runs.length > 1;

  useEffect(() => {
    const box = place.current;
    if (!enough || !box) return;
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(
        optionsOf(box, (index) => setAt(index)),
        latest.current,
        box,
      );
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

  const latest = useRef(data);
  latest.current = data;
  const version = `${runs.length} ${runs.at(-1)?.runId} ${runs.at(-1)?.endedAt}`;
  useEffect(() => plot.current?.setData(latest.current), [version]);

  if (!enough) return null;
  const run = runs[at ?? runs.length - 1] ?? runs.at(-1)!;
  return (
    <figure class="plot" aria-label="Records written, unchanged, removed and failed by the last runs, over time">
      <div ref={place} />
      <figcaption>
        {LINES.map(({ name, dash }) => (
          <span key={name} class={name}>
            <svg viewBox="0 0 24 8" aria-hidden="true">
              <path d="M0 4h24" stroke-dasharray={dash.join(' ')} />
            </svg>
            {name} {number(run.report[name] ?? 0)}
          </span>
        ))}
        <span>in {Math.max(1, Math.round(durationOf(run) / 1000))} s</span>
      </figcaption>
    </figure>
  );
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
  const clock = (seconds: number) => new Date(seconds * 1000).toLocaleTimeString(undefined, CLOCK);
  return {
    width: box.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    // Counts lie far apart, and 0 has to be shown: linear near 0, logarithmic above.
    scales: { y: { distr: 4, asinh: 5, range: (_, _min, max) => [0, Math.max(10, max * 1.3)] } },
    axes: [
      { ...axis, space: 90, values: (_, ticks) => ticks.map(clock) },
      { ...axis, size: 44, values: (_, ticks) => ticks.map((count) => (count < 0 ? '' : short(count))) },
    ],
    series: [
      {},
      ...LINES.map(({ name, dash }) => ({ stroke: colour(name), width: 1.5, dash: [...dash], points: { size: 4 } })),
    ],
    hooks: { setCursor: [({ cursor }) => at(cursor.idx ?? undefined)] },
  };
}

const CLOCK = { hour: '2-digit', minute: '2-digit', hour12: false } as const;

const short = (count: number) => (count >= 10_000 ? `${Math.round(count / 1000)}k` : String(count));
