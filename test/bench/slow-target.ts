import type { ServerResponse } from 'node:http';
import { type Served, serve } from '../../infra/local/serve.ts';
import { mulberry32 } from '../support/random.ts';
import { pageOf } from './source.ts';

export interface SlowTarget extends Served {
  /** The sum of the latencies of all answers, as they were served. */
  readonly servedMs: number;
  /** From the first request to the last answer. */
  readonly busyMs: number;
}

/**
 * A target that answers each request after a random latency. It polls the clock instead of setting timers, because Node's
 * timers fire together, once a millisecond, and a client that receives its answers in bursts slows itself down.
 * @param records how many it lists
 */
export async function startSlowTarget(drawMs: () => number, records = 0): Promise<SlowTarget> {
  let servedMs = 0;
  let firstAtMs: number | undefined;
  let lastAtMs = 0;
  let waiting: { arrivedMs: number; dueMs: number; response: ServerResponse; page: string | undefined }[] = [];
  let looking = false;

  function look() {
    const nowMs = performance.now();
    const due = waiting.filter(({ dueMs }) => dueMs <= nowMs);
    waiting = waiting.filter(({ dueMs }) => dueMs > nowMs);
    for (const { arrivedMs, response, page } of due) {
      lastAtMs = performance.now();
      servedMs += lastAtMs - arrivedMs;
      response.writeHead(page === undefined ? 204 : 200, { 'content-type': 'application/json' }).end(page);
    }
    looking = waiting.length > 0;
    if (looking) setImmediate(look);
  }

  const served = await serve((request, response) => {
    const arrivedMs = performance.now();
    firstAtMs ??= arrivedMs;
    request.resume();
    const page = request.method === 'GET' ? pageOf(records, request.url ?? '') : undefined;
    waiting.push({ arrivedMs, dueMs: arrivedMs + drawMs(), response, page });
    if (!looking) look();
  });
  return {
    ...served,
    get servedMs() {
      return servedMs;
    },
    get busyMs() {
      return firstAtMs === undefined ? 0 : lastAtMs - firstAtMs;
    },
  };
}

/**
 * Draws from a log-normal distribution with the given median and 99th percentile, cut at `mostMs`; the same numbers each
 * time.
 */
export function logNormal({ p50Ms, p99Ms, mostMs }: { p50Ms: number; p99Ms: number; mostMs: number }): () => number {
  /** The 99th percentile of the standard normal distribution. */
  const z99 = 2.3263478740408408;
  const sigma = Math.log(p99Ms / p50Ms) / z99;
  const random = mulberry32(20260101);
  return () => {
    // Box-Muller; 1 - random() is never 0.
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return Math.min(p50Ms * Math.exp(sigma * normal), mostMs);
  };
}
