import { mulberry32 } from '../support/random.ts';
import { drawWith } from './draw.ts';
import type { History, Invocation } from './history.ts';
import { EPOCH_MS, RIGHT_CLOCKS } from './process.ts';

/**
 * Draws who makes way for whom, and in some worlds a few seconds in which ticks and backfills want the lock at once. It draws by
 * itself, so that all else in the world of a seed is what it was.
 */
export function drawContention(history: History): History {
  const draw = drawWith(mulberry32(history.seed ^ 0x0f0110));
  const env: Record<string, string> = {
    ...history.env,
    ...(draw.chance(0.35) && { OVERLAP: 'follow' }),
    ...(draw.chance(0.2) && { YIELD: 'never' }),
  };
  if (!draw.chance(0.2)) return { ...history, env };
  const fromMs = draw.from(0, 20_000);
  const shards = Number(env.SHARDS ?? 1);
  const shard = shards === 1 ? {} : { shard: { index: 0, of: shards } };
  const added = (kind: Invocation['function'], atMs: number, event: object): Invocation => ({
    ...{ name: `contending-${kind}-${atMs}`, atMs, function: kind, event: { ...event, ...shard } },
    ...{ remainingMs: 90_000, clocks: RIGHT_CLOCKS, faults: [] },
  });
  const backfills = Array.from({ length: draw.from(2, 5) }, () =>
    added('backfill', fromMs + draw.from(0, 6000), { waitSeconds: draw.one([0, 10, 30]) }),
  );
  const ticks = Array.from({ length: draw.from(1, 4) }, () => {
    const atMs = fromMs + draw.from(0, 6000);
    return added('sync', atMs, { kind: 'tick', scheduledTime: new Date(EPOCH_MS + atMs - 100).toISOString() });
  });
  // A name stands for one process.
  const byName = new Map([...history.invocations, ...backfills, ...ticks].map((one) => [one.name, one]));
  return { ...history, env, invocations: [...byName.values()] };
}
