import type { Pause } from './history.ts';
import { EPOCH_MS } from './process.ts';
import type { Answer } from './request.ts';
import { type Surroundings, weatherOn } from './weather.ts';

/** A server's `Date`, by its own clock. */
export const dateOf = (world: Surroundings, on: 'source' | 'target') => new Date(clockMs(world, on)).toUTCString();

const clockMs = (world: Surroundings, on: 'source' | 'target') =>
  EPOCH_MS + world.timeline.nowMs + (weatherOn(world, on, 'wrong-clock')?.aheadMs ?? 0);

/** The answer of a server that throttles, with the pause that it asks for. */
export function throttled(
  world: Surroundings,
  on: 'source' | 'target',
  { status, pause }: { status: number; pause?: Pause },
): Answer {
  const headers = { date: dateOf(world, on), ...(pause && headersOf(pause, clockMs(world, on))) };
  return { status, headers, body: Buffer.from('{}'), pauseMs: (pause?.seconds ?? 0) * 1000 };
}

/** The same answer, which has spent a quota. */
export function spending(world: Surroundings, on: 'source' | 'target', answer: Answer, random: () => number): Answer {
  const spends = weatherOn(world, on, 'spends');
  if (!spends || random() >= spends.share) return answer;
  const { pause } = spends;
  const headers = { ...answer.headers, ...headersOf(pause, clockMs(world, on)) };
  return { ...answer, headers, pauseMs: pause.seconds * 1000 };
}

function headersOf({ seconds, as }: Pause, nowMs: number): Record<string, string> {
  const remaining = { 'x-ratelimit-remaining': '0' };
  switch (as) {
    case 'retry-after':
      return { 'retry-after': String(seconds) };
    case 'retry-date':
      return { 'retry-after': new Date(nowMs + seconds * 1000).toUTCString() };
    case 'quota-seconds':
      return { ...remaining, 'x-ratelimit-reset': String(seconds) };
    case 'quota-epoch':
      return { ...remaining, 'x-ratelimit-reset': String(Math.floor(nowMs / 1000) + seconds) };
    case 'quota-epoch-ms':
      return { ...remaining, 'x-ratelimit-reset': String(Math.floor(nowMs) + seconds * 1000) };
    case 'quota-list':
      return { ratelimit: `"burst";r=0;t=${seconds}, "day";r=90;t=3600` };
  }
}
