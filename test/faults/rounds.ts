import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEtcd } from '../../infra/local/etcd.ts';
import { startSecrets } from '../../infra/local/secrets.ts';
import { startSource } from '../../infra/local/source.ts';
import { type DemoTarget, startTarget, type Write } from '../../infra/local/target.ts';
import { startTcpProxy, type TcpProxy } from '../../infra/local/tcp-proxy.ts';
import { connectEtcd } from '../../lib/etcd.ts';
import { holderOf, readHolder } from '../../lib/mutex.ts';

const TTL_SECONDS = 5;
const RECORDS = 40;
/** Longer than any lease, any stop and any partition together; whoever takes longer hangs. */
const BOUND_MS = 60_000;

const faults = ['none', 'none', 'kill', 'stop', 'partition', 'half-open'] as const;
type Fault = (typeof faults)[number];

/** What is drawn for a round before it begins, so that a seed gives the same rounds again. */
interface Draw {
  fault: Fault;
  victim: 0 | 1;
  afterMs: number;
  lastsMs: number;
  offsetsMs: [number, number];
  rivalHoldsMs: number | undefined;
}

export interface Summary {
  rounds: number;
  /** How often each fault was drawn. */
  faults: Record<string, number>;
  /** How often each outcome was seen: a status, a skip's reason, an error's name, or `killed`. */
  outcomes: Record<string, number>;
  /** What must never happen, in words. */
  violations: string[];
}

interface World {
  seed: number;
  target: DemoTarget;
  startContender(scope: string): Promise<Contender>;
  startRival(scope: string): ChildProcess;
  isFree(scope: string): Promise<boolean>;
  summary: Summary;
}

/**
 * Plays `rounds` rounds, spread over `lanes` locks side by side: in each, two contenders in processes of their own and now
 * and then an `etcdctl lock` want the same lock, and one contender is killed, stopped or cut off from etcd.
 */
export async function playRounds(options: { rounds: number; lanes: number; seed: number }): Promise<Summary> {
  const { rounds, lanes, seed } = options;
  await using stack = new AsyncDisposableStack();
  const etcd = stack.use(await startEtcd());
  const credentials = { username: 'faults', password: 'faults' };
  const records = Array.from({ length: RECORDS }, (_, index) => ({
    id: `record-${index}`,
    name: `Record ${index}`,
    updatedAt: '2026-01-01T00:00:00Z',
    limit: { context: index, output: index },
  }));
  const source = stack.use(await startSource({ records, credentials }));
  const target = stack.use(await startTarget({ token: 'faults', regions: ['faults'], latencyMs: 50 }));
  const secrets = stack.use(await startSecrets({ faults: { source: credentials, target: { token: 'faults' } } }));
  const observer = stack.use(connectEtcd(etcd.endpoints));
  const budget = { attemptMs: 5000, totalMs: 10_000 };
  const summary: Summary = { rounds: 0, faults: {}, outcomes: {}, violations: [] };
  const env = {
    STAGE: 'faults',
    SECRET_ID: 'faults',
    SOURCE_URL: source.url,
    TARGET_URL: target.url,
    TARGET_REGION_ID: 'faults',
    CONCURRENCY: '3',
    LOCK_TTL_SECONDS: String(TTL_SECONDS),
    POWERTOOLS_LOG_LEVEL: 'SILENT',
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url,
  };
  const world: World = {
    seed,
    target,
    summary,
    startContender: async (scope) => {
      const proxy = stack.use(await startTcpProxy(etcd.endpoints[0]!));
      const state = { LOCK_KEY: scope, STATE_PREFIX: `${scope}-state/`, ETCD_ENDPOINTS: proxy.url };
      const contender = await startContender({ ...env, ...state }, proxy);
      stack.defer(() => contender.kill());
      return contender;
    },
    startRival: (scope) => etcd.spawnEtcdctl(['lock', `--ttl=${TTL_SECONDS}`, scope]),
    async isFree(scope) {
      const answer = await observer.txn('look', { success: [readHolder(scope)] }, budget);
      return holderOf(answer.responses[0]) === undefined;
    },
  };

  const perLane = Array.from({ length: lanes }, (_, lane) => Math.floor((rounds + lane) / lanes));
  await Promise.all(perLane.map((count, lane) => playLane(world, `/faults/lock-${lane}`, lane, count)));
  for (let tries = 0; tries < 40 && (await leases(etcd.etcdctl)) > 0; tries++) await sleep(500);
  const left = await leases(etcd.etcdctl);
  if (left > 0) summary.violations.push(`${left} leases are left`);
  const keys = await etcd.etcdctl(['get', '/faults/lock-', '--prefix', '--keys-only']);
  const locks = keys.split('\n').filter((key) => /^\/faults\/lock-\d+\//.test(key));
  if (locks.length > 0) summary.violations.push(`locks are left: ${locks}`);
  return summary;
}

const leases = async (etcdctl: (args: string[]) => Promise<string>) =>
  (await etcdctl(['lease', 'list'])).split('\n').filter((line) => /^[0-9a-f]{8,}$/.test(line.trim())).length;

async function playLane(world: World, scope: string, lane: number, rounds: number) {
  const random = mulberry32(world.seed * 1000 + lane);
  const contenders = await Promise.all([world.startContender(scope), world.startContender(scope)]);
  const completed: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const draw = drawRound(random);
    const name = `${scope} round ${round} (${draw.fault})`;
    await until(`${name}: the lock was never freed`, () => world.isFree(scope));
    for (const index of [0, 1] as const) {
      if (!contenders[index].alive) contenders[index] = await world.startContender(scope);
    }
    const outcomes = await playRound(world, scope, contenders, draw, round, name);
    world.summary.rounds++;
    count(world.summary.faults, draw.fault);
    for (const { label, token } of outcomes) {
      count(world.summary.outcomes, label);
      if (label === 'completed' && token) completed.push(token);
    }
    const quiet = draw.fault === 'none' && draw.rivalHoldsMs === undefined;
    if (quiet && !outcomes.some(({ label }) => label === 'completed')) {
      world.summary.violations.push(`${name}: nobody completed, but ${outcomes.map(({ label }) => label)}`);
    }
  }
  const writes = world.target.writes.filter((write) => write.scope === scope);
  world.summary.violations.push(...checkWrites(scope, writes, completed));
}

/** Tokens never go back, so no two runs wrote at the same time; and a run that says it completed has written all. */
function checkWrites(scope: string, writes: Write[], completed: string[]): string[] {
  const violations: string[] = [];
  for (const [index, { token }] of writes.entries()) {
    const before = writes[index - 1];
    if (before && BigInt(token) < BigInt(before.token)) {
      violations.push(`${scope}: token ${token} was accepted after ${before.token}`);
    }
  }
  for (const token of completed) {
    const ids = new Set(writes.filter((write) => write.token === token).map(({ id }) => id));
    if (ids.size !== RECORDS) violations.push(`${scope}: completed run ${token} wrote ${ids.size} of ${RECORDS}`);
  }
  if (new Set(completed).size !== completed.length) violations.push(`${scope}: two completed runs had the same token`);
  return violations;
}

interface Outcome {
  label: string;
  token?: string;
}

async function playRound(
  world: World,
  scope: string,
  contenders: [Contender, Contender],
  draw: Draw,
  round: number,
  name: string,
): Promise<Outcome[]> {
  const rival = draw.rivalHoldsMs === undefined ? undefined : playRival(world, scope, draw.rivalHoldsMs, name);
  const ticks = contenders.map(async (contender, index) => {
    await sleep(draw.offsetsMs[index]);
    // A later round's tick is scheduled later, so that a completed one makes none of them a duplicate.
    const scheduledTime = new Date(Date.UTC(2026, 0, 1) + (round * 2 + index) * 60_000).toISOString();
    return contender.tick({ kind: 'tick', scheduledTime });
  });
  await sleep(draw.afterMs);
  const victim = contenders[draw.victim];
  if (draw.fault === 'kill') await victim.kill();
  if (draw.fault === 'stop') {
    victim.signal('SIGSTOP');
    await sleep(draw.lastsMs);
    victim.signal('SIGCONT');
  }
  if (draw.fault === 'partition' || draw.fault === 'half-open') {
    victim.proxy.mode = draw.fault === 'partition' ? 'black-hole' : 'half-open';
    await sleep(draw.lastsMs);
    victim.proxy.mode = 'pass';
  }
  const outcomes = await within(name, Promise.all(ticks));
  await rival;
  return outcomes;
}

/** `etcdctl lock` waits for its turn and then holds the lock; while it does, the target must not accept a write. */
async function playRival(world: World, scope: string, holdsMs: number, name: string) {
  const rival = world.startRival(scope);
  try {
    await within(`${name}, etcdctl lock`, once(rival.stdout!, 'data'));
    const writes = () => world.target.writes.filter((write) => write.scope === scope).length;
    const before = writes();
    await sleep(holdsMs);
    if (writes() > before) world.summary.violations.push(`${name}: a write was accepted while etcdctl held the lock`);
    count(world.summary.outcomes, 'etcdctl held the lock');
  } finally {
    rival.kill('SIGTERM');
    if (rival.exitCode === null && rival.signalCode === null) await once(rival, 'exit');
  }
}

interface Contender {
  readonly alive: boolean;
  proxy: TcpProxy;
  tick(event: unknown): Promise<Outcome>;
  signal(signal: NodeJS.Signals): void;
  kill(): Promise<void>;
}

async function startContender(env: Record<string, string>, proxy: TcpProxy): Promise<Contender> {
  const child = fork(join(import.meta.dirname, 'contender.ts'), {
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    execArgv: [],
  });
  const exited = once(child, 'exit');
  await once(child, 'message');
  return {
    proxy,
    get alive() {
      return child.exitCode === null && child.signalCode === null;
    },
    async tick(event) {
      const answered = once(child, 'message');
      child.send(event as object, () => undefined);
      const answer = await Promise.race([answered, exited.then(() => undefined)]);
      if (!answer) return { label: 'killed' };
      const [{ result, error }] = answer;
      if (error) return { label: error.name };
      return { label: result.status === 'skipped' ? result.reason : result.status, token: result.fencingToken };
    },
    signal: (signal) => child.kill(signal),
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

function drawRound(random: () => number): Draw {
  const upTo = (most: number) => Math.floor(random() * most);
  return {
    fault: faults[upTo(faults.length)]!,
    victim: upTo(2) as 0 | 1,
    afterMs: upTo(900),
    lastsMs: upTo((TTL_SECONDS + 3) * 1000),
    offsetsMs: [upTo(150), upTo(150)],
    rivalHoldsMs: random() < 0.3 ? upTo(500) : undefined,
  };
}

async function until(complaint: string, condition: () => Promise<boolean>) {
  const giveUpAtMs = performance.now() + BOUND_MS;
  while (!(await condition())) {
    if (performance.now() > giveUpAtMs) throw new Error(complaint);
    await sleep(100);
  }
}

async function within<T>(name: string, work: Promise<T>): Promise<T> {
  const timer = new AbortController();
  const late = sleep(BOUND_MS, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${name}: no end after ${BOUND_MS} ms`);
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    timer.abort();
  }
}

function count(table: Record<string, number>, name: string) {
  table[name] = (table[name] ?? 0) + 1;
}

/** A small random generator with a seed: https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
