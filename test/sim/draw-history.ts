import { mulberry32 } from '../support/random.ts';
import { type Draw, drawWith } from './draw.ts';
import { drawContention } from './draw-contention.ts';
import { drawWeather } from './draw-weather.ts';
import type { Change, Fault, History, Invocation, Moment } from './history.ts';
import { type Clocks, EPOCH_MS, RIGHT_CLOCKS } from './process.ts';

/**
 * Draws the history of a seed. Each seed leaves most kinds of faults out, so that those which are there can have their full
 * effect (swarm testing: https://users.cs.utah.edu/~regehr/papers/swarm12.pdf).
 */
export function drawHistory(seed: number): History {
  const draw = drawWith(mulberry32(seed));
  const overlapSeconds = draw.one([0, 1, 5, 60]);
  const etcdMs = draw.one([2, 20, 200]);
  // Half a reserve of 1 s has no room for two slow answers.
  const env = drawSettings(draw, overlapSeconds, etcdMs === 200 ? 2 : 1);
  const lastsMs = draw.from(30, 200) * 1000;
  const many = draw.chance(0.15);
  /** Some worlds have records that were imported in one moment, which every pass within the overlap sees again. */
  const imported = draw.chance(0.2)
    ? { share: draw.one([0.3, 1]), ageSeconds: draw.from(0, overlapSeconds) }
    : undefined;
  const records = Array.from({ length: many ? draw.from(25, 60) : draw.from(1, 24) }, (_, index) => ({
    id: `m-${String(index).padStart(2, '0')}`,
    ageSeconds: imported && draw.chance(imported.share) ? imported.ageSeconds : draw.from(3600, 1_000_000),
    ...(draw.chance(0.04) && { invalid: true }),
  }));
  const ids = records.map(({ id }) => id);
  const readsById = draw.chance(0.85);
  const invocations = drawInvocations(draw, { lastsMs, ids, env, readsById });
  return drawContention({
    seed,
    env,
    readsById,
    records,
    source: {
      order: draw.one(['id', 'updatedAt']),
      pageSize: many ? draw.from(4, 30) : draw.from(1, 6),
      repeats: draw.chance(0.3) ? draw.from(1, 3) : 0,
      shuffles: draw.chance(0.3),
    },
    latencyMs: {
      etcd: etcdMs,
      source: draw.one([10, 100, 1000]),
      target: draw.one([10, 100, 1500]),
      queue: 50,
      lambda: 50,
    },
    leftBehind: draw.chance(0.1) ? { checkpoint: {}, watermark: { at: '2026-01-01T00:00:00Z' } } : {},
    invocations,
    weather: drawWeather(draw, { lastsMs, ids, names: invocations.map(({ name }) => name) }),
    changes: drawChanges(draw, { lastsMs, ids, overlapSeconds }),
  });
}

function drawSettings(draw: Draw, overlapSeconds: number, leastReserve: number): Record<string, string> {
  return {
    ...(draw.chance(0.5) && { ETCD_ENDPOINTS: 'http://etcd-1:2379,http://etcd-2:2379' }),
    LOCK_TTL_SECONDS: String(draw.one([5, 10, 15, 30])),
    DEADLINE_RESERVE_SECONDS: String(draw.from(leastReserve, 10)),
    CONCURRENCY: String(draw.from(1, 6)),
    FAILURES_BEFORE_STOP: String(draw.from(2, 8)),
    SOURCE_TIMEOUT_MS: String(draw.from(3, 6) * 1000),
    TARGET_TIMEOUT_MS: String(draw.from(3, 6) * 1000),
    WATERMARK_OVERLAP_SECONDS: String(overlapSeconds),
    ...(draw.chance(0.2) && { FULL_EVERY_HOURS: '1' }),
    ...(draw.chance(0.2) && { MIN_INTERVAL_SECONDS: String(draw.from(5, 40)) }),
    ...(draw.chance(0.2) && { STARTING_DEADLINE_SECONDS: String(draw.from(5, 60)) }),
    ...(draw.chance(0.2) && { MAX_WRITES_PER_SECOND: String(draw.from(2, 20)) }),
    ...(draw.chance(0.2) && { CONTINUE: 'self' }),
    ...(draw.chance(0.3) && { DEAD_LETTER_QUEUE_URL: 'http://queue/1/letters' }),
    ...(draw.chance(0.15) && { SHARDS: '2' }),
  };
}

function drawInvocations(
  draw: Draw,
  world: { lastsMs: number; ids: string[]; env: Record<string, string>; readsById: boolean },
): Invocation[] {
  const { lastsMs, ids, env, readsById } = world;
  const everyMs = draw.one([10, 20, 30, 60]) * 1000;
  const shards = Number(env.SHARDS ?? 1);
  const restless = draw.chance(0.6);
  const shakyClocks = draw.chance(0.3);
  const invocations: Invocation[] = [];

  function add(kind: Invocation['function'], atMs: number, event: Record<string, unknown>, goesOnWith?: string) {
    if (invocations.length >= 12) return;
    const shard = shards === 1 || kind === 'control' ? {} : { shard: { index: draw.from(0, shards - 1), of: shards } };
    invocations.push({
      name: `${kind}-${invocations.length + 1}`,
      atMs,
      function: kind,
      event: { ...event, ...shard },
      ...(goesOnWith !== undefined && { goesOnWith }),
      remainingMs: drawRemaining(draw, Number(env.DEADLINE_RESERVE_SECONDS)),
      clocks: shakyClocks ? drawClocks(draw) : RIGHT_CLOCKS,
      faults: restless && draw.chance(0.4) ? drawFaults(draw, shakyClocks) : [],
    });
  }

  for (let dueMs = 0; dueMs <= lastsMs; dueMs += everyMs) {
    const scheduledTime = new Date(EPOCH_MS + dueMs).toISOString();
    const event = draw.chance(0.1)
      ? { source: 'aws.scheduler', 'detail-type': 'Scheduled Event', time: scheduledTime }
      : { kind: 'tick', scheduledTime };
    const byHand = draw.chance(0.05);
    // Late by up to three ticks, so that they come out of order; and now and then twice, or not at all.
    const lateMs = draw.chance(0.15) ? draw.from(0, 3 * everyMs) : draw.from(0, 800);
    if (draw.chance(0.9)) add('sync', dueMs + lateMs, byHand || (shards > 1 && 'time' in event) ? {} : event);
    if (draw.chance(0.15)) add('sync', dueMs + draw.from(0, everyMs), shards > 1 && 'time' in event ? {} : event);
  }
  if (draw.chance(0.35)) addBackfill();
  if (draw.chance(0.15)) add('control', draw.from(0, lastsMs), { action: draw.one(['status', 'resume']) });
  if (draw.chance(0.15)) add('control', draw.from(0, lastsMs), { action: 'pause', note: 'for a while' });
  if (draw.chance(0.1))
    add('control', draw.from(0, lastsMs), { action: 'reset', what: draw.one(['checkpoint', 'watermark']) });
  return invocations;

  function addBackfill() {
    const atMs = draw.from(0, lastsMs);
    const what = draw.one([
      {},
      { since: '2026-05-25T00:00:00Z' },
      { until: '2026-05-31T00:00:00Z' },
      ...(readsById
        ? [{ ids: [...new Set(draw.some(ids, 0.4).concat(ids[0]!, draw.chance(0.3) ? 'unknown' : ids[0]!))] }]
        : []),
    ]);
    add('backfill', atMs, { ...what, waitSeconds: draw.one([0, 10, 60]), ...(draw.chance(0.1) && { dryRun: true }) });
    const first = invocations.at(-1)!;
    if (draw.chance(0.4) && first.function === 'backfill' && !('dryRun' in first.event)) {
      const again = 'ids' in what ? what : {};
      add('backfill', atMs + draw.from(10, 60) * 1000, { ...again, waitSeconds: 30 }, first.name);
      // It goes on in the same shard.
      Object.assign(invocations.at(-1)!.event, first.event.shard ? { shard: first.event.shard } : {});
    }
  }
}

/** Mostly enough time, sometimes hardly any. */
function drawRemaining(draw: Draw, reserveSeconds: number): number {
  const workMs = draw.one([draw.from(1, 3000), draw.from(1, 20_000), draw.from(10_000, 110_000)]);
  return reserveSeconds * 1000 + workMs;
}

/** Slow or fast by at most 5 %, which is less than the margin of a session. */
function drawClocks(draw: Draw): Clocks {
  const rate = () => (draw.chance(0.5) ? 1 : draw.from(950, 1050) / 1000);
  const wallAheadMs = draw.chance(0.3) ? draw.from(-3600, 3600) * 1000 : 0;
  return { monotonicRate: rate(), wallRate: rate(), wallAheadMs };
}

function drawFaults(draw: Draw, shakyClocks: boolean): Fault[] {
  const moment = (): Moment => (draw.chance(0.5) ? { call: draw.from(1, 30) } : { afterMs: draw.from(0, 20_000) });
  // Where the wall clock is set back while the monotonic one stands, nothing tells how much time has passed.
  const standing = draw.chance(0.5);
  return Array.from({ length: draw.from(1, 2) }, (): Fault => {
    const kind = draw.one(['pause', 'pause', 'kill', 'terminate', shakyClocks ? 'jump' : 'pause', 'suspend'] as const);
    if (kind === 'kill') return { ...moment(), kind, callLeaves: draw.chance(0.5) };
    if (kind === 'terminate') return { ...moment(), kind };
    if (kind === 'jump' && !standing) return { ...moment(), kind, byMs: draw.from(-100, 100) * 1000 };
    return { ...moment(), kind: standing ? 'suspend' : 'pause', forMs: draw.from(100, 40_000) };
  });
}

function drawChanges(draw: Draw, world: { lastsMs: number; ids: string[]; overlapSeconds: number }): Change[] {
  const { lastsMs, ids, overlapSeconds } = world;
  const lags = draw.chance(0.3);
  return Array.from({ length: draw.one([0, 3, 12]) }, (_, index): Change => {
    // What comes into sight later than the overlap allows is lost, and the documents say so.
    const shownAfterMs = lags ? draw.from(0, overlapSeconds * 1000) : 0;
    const kind = draw.chance(0.85) ? 'change' : draw.one(['spoil', 'delete'] as const);
    const id = draw.chance(0.2) ? `n-${index}` : draw.one(ids);
    return { atMs: draw.from(0, lastsMs), id, kind, shownAfterMs };
  });
}
