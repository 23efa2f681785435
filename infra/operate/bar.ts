const BAR_CELLS = 20;

/** Where an operator sees progress. */
export interface Terminal {
  /** Prints a line that stays. */
  line(text: string): void;
  /** Replaces the bar; without a terminal it shows nothing. */
  bar(text: string): void;
}

/** `█████░░░░░░░░░░░░░░░ 25 %`. */
export function formatBar(fraction: number): string {
  const cells = Math.floor(fraction * BAR_CELLS);
  return `${'█'.repeat(cells)}${'░'.repeat(BAR_CELLS - cells)} ${Math.floor(fraction * 100)} %`;
}

/** `12 s`, `3 min 5 s`, `2 h 10 min`. */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** How long the rest takes if it goes on as so far. */
export function formatRemaining(fraction: number, elapsedMs: number): string {
  if (fraction === 1) return 'done';
  if (fraction === 0) return 'remaining time unknown';
  return `about ${formatDuration((elapsedMs / fraction) * (1 - fraction))} left`;
}

/** `everything`, `3 ids`, `from 2026-01-01T00:00Z until 2026-02-01T00:00Z`. */
export function nameOfRange(range: { since?: string | undefined; until?: string | undefined }, ids?: number): string {
  const { since, until } = range;
  if (ids !== undefined) return ids === 1 ? '1 id' : `${ids} ids`;
  if (!since && !until) return 'everything';
  const short = (instant: string) => instant.replace(/(:00)?\.000Z$/, 'Z');
  return [since && `from ${short(since)}`, until && `until ${short(until)}`].filter(Boolean).join(' ');
}
