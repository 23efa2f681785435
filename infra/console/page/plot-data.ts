import type { StripItem } from './runs.ts';

/** The lines differ by their dashes as well, for whoever cannot tell the colours. */
export const LINES = [
  { name: 'written', dash: [] },
  { name: 'unchanged', dash: [2, 3] },
  { name: 'removed', dash: [8, 3] },
  { name: 'failed', dash: [8, 3, 2, 3] },
] as const;

/** The seconds since 1970 and one row of counts for each line; null where nothing ran, so that a line ends there. */
export type Columns = [number[], ...(number | null)[][]];

/** What the plot draws of the strip. */
export function columnsOf(items: StripItem[]): Columns {
  const points: { at: number; counts: (number | null)[] }[] = [];
  for (const item of items) {
    if (item.kind === 'run') {
      const { endedAt, report } = item.run;
      points.push({ at: Date.parse(endedAt) / 1000, counts: LINES.map(({ name }) => report[name]) });
    } else if (item.long && points.length > 0) {
      points.push({ at: Math.max(...points.map(({ at }) => at)) + 0.001, counts: LINES.map(() => null) });
    }
  }
  // The strip is in the order of the starts; of shards that run side by side, the one that began first may end last.
  points.sort((a, b) => a.at - b.at);
  return [points.map(({ at }) => at), ...LINES.map((_, line) => points.map(({ counts }) => counts[line] ?? null))];
}

/** Where a scale that is linear near 0 and logarithmic above has its ticks: 0, 10, 100 and so on; 1 where it does not touch 0. */
export function ticksUpTo(max: number): number[] {
  const ticks = [0];
  for (let tick = max < 20 ? 1 : 10; tick <= max; tick *= 10) ticks.push(tick);
  return ticks;
}

/** A time of day below the plot, of times that lie `stepSeconds` apart. */
export const clock = (seconds: number, stepSeconds: number) =>
  new Date(seconds * 1000).toLocaleTimeString(undefined, {
    ...{ hour: '2-digit', minute: '2-digit', hour12: false },
    ...(stepSeconds < 60 && { second: '2-digit' }),
  });

export const shortCount = (count: number) => (count >= 10_000 ? `${Math.round(count / 1000)}k` : String(count));
