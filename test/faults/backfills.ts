import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import { startSource } from '../../infra/local/demo/source.ts';
import { startTarget } from '../../infra/local/demo/target.ts';
import { startEtcd } from '../../infra/local/etcd/etcd.ts';
import { startSecrets } from '../../infra/local/secrets.ts';
import { answer, bodyOf, serve } from '../../infra/local/serve.ts';
import { mulberry32 } from '../support/random.ts';
import { model } from '../support/world.ts';
import { type Answer, startPool } from './function-pool.ts';

const PAGE = 10;
/** Only a chain that has broken takes longer. */
const BOUND_MS = 240_000;
/** As often as Lambda delivers an event again whose invocation has failed. */
const REDELIVERIES = 2;
/** Fewer than the attempts after which a backfill has failed. */
const MAX_KILLS_OF_A_STEP = 2;

/** The random choices for a round, made before it begins. */
interface Draw {
  records: number;
  shards: number;
  windows: number;
  byIds: boolean;
  /** How often a tick is due meanwhile; undefined for never. */
  tickEveryMs: number | undefined;
  killRate: number;
  twiceRate: number;
  maxDelayMs: number;
  remainingMs: number;
}

interface Play {
  /** The events that came after the end of their backfill. */
  late: number;
  kills: number;
  deliveries: number;
  outcomes: Record<string, number>;
  violations: string[];
}

interface Event {
  step?: number;
  shard?: { index: number; of: number };
  [key: string]: unknown;
}

/**
 * Plays `rounds` detached backfills, each with a lock and state of its own. Their events go through a Lambda that delivers them
 * late, out of order, some of them twice, two at a time, and some after the end; that kills processes, and delivers an event again
 * whose invocation has failed, up to twice.
 * @returns a sentence for each violation
 */
export async function playBackfills({ rounds, seed }: { rounds: number; seed: number }) {
  await using stack = new AsyncDisposableStack();
  const random = mulberry32(seed);
  const etcd = stack.use(await startEtcd());
  const credentials = { username: 'faults', password: 'faults' };
  const source = stack.use(await startSource({ records: [], credentials, pageSize: PAGE }));
  const target = stack.use(await startTarget({ token: 'faults', regions: ['faults'], latencyMs: 20 }));
  const secrets = stack.use(await startSecrets({ faults: { source: credentials, target: { token: 'faults' } } }));
  const played: Play = { late: 0, kills: 0, deliveries: 0, outcomes: {}, violations: [] };
  let receive = (_kind: string, _event: Event): void => undefined;
  const lambda = stack.use(
    await serve(async (request, response) => {
      const event = JSON.parse(await bodyOf(request));
      const [, kind = ''] = /functions\/[\w-]+-(\w+)\/invocations$/.exec(request.url ?? '') ?? [];
      receive(kind, event);
      answer(response, 202, {});
    }),
  );
  const pool = stack.use(
    startPool({
      ...{ PATH: process.env.PATH ?? '', STAGE: 'faults', SECRET_ID: 'faults', TARGET_REGION_ID: 'faults' },
      ...{ SOURCE_URL: source.url, TARGET_URL: target.url, ETCD_ENDPOINTS: etcd.endpoints.join(',') },
      ...{ CONCURRENCY: '3', LOCK_TTL_SECONDS: '30', DEADLINE_RESERVE_SECONDS: '1', POWERTOOLS_LOG_LEVEL: 'SILENT' },
      ...{ AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local' },
      ...{ AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url, AWS_ENDPOINT_URL_LAMBDA: lambda.url },
    }),
  );
  for (let round = 0; round < rounds; round++) await playRound(round, drawRound(random));
  return { rounds, ...played };

  async function playRound(round: number, draw: Draw) {
    const lockKey = `/backfills/${round}/lock`;
    const env = { ROUND: `round-${round}`, LOCK_KEY: lockKey, SHARDS: String(draw.shards) };
    const until = new Date(Date.UTC(2026, 0, 1, 0, draw.records)).toISOString();
    source.records = Array.from({ length: draw.records }, (_, index) => model(index));
    target.models.clear();
    target.writes.length = 0;
    const fault = (what: string) => played.violations.push(`round ${round}: ${what} (${JSON.stringify(draw)})`);
    const count = (name: string) => {
      played.outcomes[name] = (played.outcomes[name] ?? 0) + 1;
    };
    const killsOf = new Map<string, number>();
    // As many as a machine of two cores plays well; all others are late.
    const limit = pLimit(2 * draw.shards + 1);
    const underWay = new Set<Promise<void>>();
    const late: Event[] = [];
    let over = false;
    const invoke = (
      kind: 'sync' | 'backfill' | 'control',
      event: unknown,
      kill?: AbortSignal,
      requestId: string = randomUUID(),
    ) => pool.invoke({ kind, env, event, requestId, remainingMs: draw.remainingMs }, kill);

    async function deliver(kind: 'sync' | 'backfill', event: Event, delayMs: number): Promise<void> {
      await sleep(delayMs);
      // Lambda delivers an event again under the same id.
      const requestId = randomUUID();
      for (let tries = 0; tries <= (kind === 'backfill' ? REDELIVERIES : 0); tries++) {
        if (tries > 0) await sleep(random() * draw.maxDelayMs);
        played.deliveries++;
        const ended = await limit(() => invokeOrKill(kind, event, requestId));
        const { result, error } = ended;
        count(result ? `${kind} ${result.reason ?? result.status}` : `${kind} ${error?.name ?? 'killed'}`);
        if (result) return;
      }
    }

    /** One invocation, which may be killed at any moment; its lease ends then, for which nobody has to wait. */
    async function invokeOrKill(kind: 'sync' | 'backfill', event: Event, requestId: string): Promise<Answer> {
      const step = `${event.shard?.index ?? 0}/${event.step}`;
      const kills = killsOf.get(step) ?? 0;
      const kill = new AbortController();
      if (kind !== 'backfill' || kills >= MAX_KILLS_OF_A_STEP || random() >= draw.killRate)
        return await invoke(kind, event, undefined, requestId);
      killsOf.set(step, kills + 1);
      const timer = setTimeout(() => kill.abort(), random() * 1200);
      const ended = await invoke(kind, event, kill.signal, requestId);
      clearTimeout(timer);
      if (!ended.killed) return ended;
      played.kills++;
      await revokeLeasesOf(requestId);
      return ended;
    }

    async function revokeLeasesOf(requestId: string) {
      const listed = await etcd.etcdctl(['get', lockKey, '--prefix', '--write-out=json']);
      const { kvs = [] } = JSON.parse(listed) as { kvs?: { value: string; lease?: number; key: string }[] };
      for (const { key, value } of kvs) {
        if (!Buffer.from(value, 'base64').toString().includes(requestId)) continue;
        // JSON has the id of the lease as a number, which may be too long for one; the key has it as text.
        const lease = Buffer.from(key, 'base64').toString().split('/').at(-1)!;
        await etcd.etcdctl(['lease', 'revoke', lease]).catch(() => undefined);
      }
    }

    function send(kind: 'sync' | 'backfill', event: Event) {
      const delivering = deliver(kind, event, random() * draw.maxDelayMs).finally(() => underWay.delete(delivering));
      underWay.add(delivering);
    }
    receive = (kind, event) => {
      if (kind !== 'sync' && kind !== 'backfill') return fault(`an event for ${kind}`);
      send(kind, event);
      if (kind !== 'backfill' || over) return;
      if (random() < draw.twiceRate) send(kind, event);
      if (random() < 0.1) late.push(event);
    };

    const ids = draw.byIds ? Array.from({ length: draw.records }, (_, index) => model(index).id) : undefined;
    const windowSeconds = Math.ceil((draw.records * 60) / draw.windows);
    const range = ids ? { ids } : { since: '2026-01-01T00:00:00.000Z', until, windowSeconds };
    const started = await invoke('backfill', { ...range, detach: true });
    if (started.result?.status !== 'started') return fault(`it did not start: ${JSON.stringify(started)}`);
    const id = String(started.result.backfillId);
    const statusOf = async () => {
      const { result } = await invoke('control', { action: 'status' });
      return result?.backfills?.find((one) => one.id === id);
    };
    const ticking = new AbortController();
    const ticks = sendTicks(ticking.signal);
    const giveUpAtMs = performance.now() + BOUND_MS;
    let status = await statusOf();
    while (status?.status === 'running' && performance.now() < giveUpAtMs) {
      await sleep(200);
      status = await statusOf();
    }
    over = true;
    ticking.abort();
    await ticks;
    await Promise.all(underWay);
    const writes = target.writes.length;
    for (const event of late) {
      played.late++;
      const { result } = await invoke('backfill', event);
      if (result?.reason !== 'duplicate') fault(`an event after the end did something: ${JSON.stringify(result)}`);
    }
    if (target.writes.length > writes) fault('an event after the end has written');
    check(status);

    /** Ticks that find the lock held have the backfill make way. */
    async function sendTicks(signal: AbortSignal) {
      while (draw.tickEveryMs !== undefined && !signal.aborted) {
        for (let index = 0; index < draw.shards; index++)
          send('sync', draw.shards > 1 ? { shard: { index, of: draw.shards } } : {});
        await sleep(draw.tickEveryMs, undefined, { signal }).catch(() => undefined);
      }
    }

    function check(ended: Record<string, unknown> | undefined) {
      if (ended?.status !== 'completed') return fault(`it ended so: ${JSON.stringify(ended)}`);
      const counts = ended.counts as Record<string, number>;
      if (counts.read !== draw.records) fault(`it counts ${counts.read} records as read`);
      if (counts.written !== draw.records) fault(`it counts ${counts.written} records as written`);
      if (ended.window !== ended.windows || ended.done !== 1) fault(`windows are missing: ${JSON.stringify(ended)}`);
      if (ended.shardsDone !== draw.shards) fault(`${ended.shardsDone} shards are done`);
      if (target.models.size !== draw.records) fault(`the target holds ${target.models.size} records`);
      const highest = new Map<string, bigint>();
      for (const { scope, token } of target.writes) {
        if (BigInt(token) < (highest.get(scope) ?? 0n)) fault(`two invocations wrote at the same time: token ${token}`);
        highest.set(scope, BigInt(token));
      }
    }
  }
}

function drawRound(random: () => number): Draw {
  const upTo = (most: number) => Math.floor(random() * most);
  const byIds = random() < 0.2;
  return {
    records: 30 + upTo(90),
    shards: 1 + upTo(2),
    windows: byIds ? 1 : 1 + upTo(4),
    byIds,
    tickEveryMs: random() < 0.3 ? 500 + upTo(2000) : undefined,
    killRate: [0, 0.3, 0.6][upTo(3)]!,
    twiceRate: [0, 0.3, 0.8][upTo(3)]!,
    maxDelayMs: [50, 500, 2000][upTo(3)]!,
    remainingMs: [8000, 30_000][upTo(2)]!,
  };
}
