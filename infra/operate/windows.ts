import type { Backfill } from '../../lib/backfill-event.ts';

/** What one backfill event asks for; an empty part means everything. */
export type Part = Pick<Backfill, 'since' | 'until' | 'ids' | 'shard'>;

/** What the backfill command copies, and how it is cut into parts. */
export interface Range {
  whole: Part;
  /** The length of the windows that `whole` is cut into. */
  window?: { text: string; ms: number };
  /** Each window is read shard by shard, unless `whole` names one. */
  shards: number;
}

/** Returns the parts in order: window after window, and each window shard by shard. */
export function cut({ whole, window, shards }: Range): Part[] {
  const windows = window ? cutWindows(whole, window.ms) : [whole];
  if (shards === 1 || whole.shard) return windows;
  const indexes = Array.from({ length: shards }, (_, index) => index);
  return windows.flatMap((part) => indexes.map((index) => ({ ...part, shard: { index, of: shards } })));
}

function cutWindows({ since = '', until = '', shard }: Part, windowMs: number): Part[] {
  const parts: Part[] = [];
  const endMs = Date.parse(until);
  for (let startMs = Date.parse(since); startMs < endMs; startMs += windowMs) {
    const stopMs = Math.min(startMs + windowMs, endMs);
    const [since, until] = [startMs, stopMs].map((ms) => new Date(ms).toISOString()) as [string, string];
    parts.push({ since, until, ...(shard && { shard }) });
  }
  return parts;
}
