import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Write } from '../../infra/local/demo/target.ts';
import { mulberry32 } from '../support/random.ts';
import { type Contender, type Outcome, type Stage, startStage } from './stage.ts';

/** Longer than a busy machine keeps a healthy contender from renewing its lease. */
const TTL_SECONDS = 10;
const RECORDS = 40;
/** Longer than any lease, stop and partition together: only a run that hangs takes longer. */
const BOUND_MS = 120_000;

const faults = ['none', 'none', 'kill', 'stop', 'partition', 'half-open'] as const;
type Fault = (typeof faults)[number];

/** The random choices for a round, made before it begins, so that a seed repeats the rounds. */
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
  /** Writes that the target refused because it had seen a higher token: they were under way when the lease ended. */
  fenced: number;
  /** A sentence for each violation. */
  violations: string[];
}

/**
 * Plays `rounds` rounds, spread over `lanes` concurrent locks. In each round two contenders in their own processes, and
 * sometimes an `etcdctl lock`, compete for one lock, and one contender is killed, stopped or cut off from etcd.
 */
export async function playRounds(options: { rounds: number; lanes: number; seed: number }): Promise<Summary> {
  const { rounds, lanes, seed } = options;
  await using stage = await startStage({ records: RECORDS, latencyMs: 50, ttlSeconds: TTL_SECONDS });
  const summary: Summary = { rounds: 0, faults: {}, outcomes: {}, fenced: 0, violations: [] };
  const perLane = Array.from({ length: lanes }, (_, lane) => Math.floor((rounds + lane) / lanes));
  await Promise.all(
    perLane.map((count, lane) =>
      playLane(stage, summary, `/faults/lock-${lane}`, mulberry32(seed * 1000 + lane), count),
    ),
  );
  summary.fenced = stage.target.refusals.filter((status) => status === 412).length;
  for (let tries = 0; tries < 120 && (await stage.leases()) > 0; tries++) await sleep(500);
  const left = await stage.leases();
  if (left > 0) summary.violations.push(`${left} leases are left`);
  const keys = await stage.etcd.etcdctl(['get', '/faults/lock-', '--prefix', '--keys-only']);
  const locks = keys.split('\n').filter((key) => /^\/faults\/lock-\d+\//.test(key));
  if (locks.length > 0) summary.violations.push(`locks are left: ${locks}`);
  return summary;
}

async function playLane(stage: Stage, summary: Summary, scope: string, random: () => number, rounds: number) {
  const contenders = await Promise.all([stage.startContender(scope), stage.startContender(scope)]);
  const completed: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const draw = drawRound(random);
    const name = `${scope} round ${round} (${draw.fault})`;
    await until(`${name}: the lock was never freed`, () => stage.isFree(scope));
    for (const index of [0, 1] as const) {
      if (!contenders[index].alive) contenders[index] = await stage.startContender(scope);
    }
    const outcomes = await playRound(stage, summary, scope, contenders, draw, round, name);
    summary.rounds++;
    count(summary.faults, draw.fault);
    for (const { label, token } of outcomes) {
      count(summary.outcomes, label);
      if (label === 'completed' && token) completed.push(token);
    }
    const quiet = draw.fault === 'none' && draw.rivalHoldsMs === undefined;
    if (quiet && !outcomes.some(({ label }) => label === 'completed')) {
      summary.violations.push(`${name}: nobody completed, but ${outcomes.map(({ label }) => label)}`);
    }
  }
  const writes = stage.target.writes.filter((write) => write.scope === scope);
  summary.violations.push(...checkWrites(scope, writes, completed));
}

/** Tokens never decrease, so no two runs wrote at the same time; and a run that reports completion has written all. */
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

async function playRound(
  stage: Stage,
  summary: Summary,
  scope: string,
  contenders: [Contender, Contender],
  draw: Draw,
  round: number,
  name: string,
): Promise<Outcome[]> {
  const rival = draw.rivalHoldsMs === undefined ? undefined : playRival(stage, summary, scope, draw.rivalHoldsMs, name);
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
    for (const proxy of victim.proxies) proxy.mode = draw.fault === 'partition' ? 'black-hole' : 'half-open';
    await sleep(draw.lastsMs);
    for (const proxy of victim.proxies) proxy.mode = 'pass';
  }
  const outcomes = await within(name, Promise.all(ticks));
  await rival;
  return outcomes;
}

/** `etcdctl lock` waits for its turn and then holds the lock; while it does, the target must not accept a write. */
async function playRival(stage: Stage, summary: Summary, scope: string, holdsMs: number, name: string) {
  const rival = stage.etcd.spawnEtcdctl(['lock', `--ttl=${TTL_SECONDS}`, scope]);
  try {
    await within(`${name}, etcdctl lock`, once(rival.stdout!, 'data'));
    const writes = () => stage.target.writes.filter((write) => write.scope === scope).length;
    const before = writes();
    await sleep(holdsMs);
    if (writes() > before) summary.violations.push(`${name}: a write was accepted while etcdctl held the lock`);
    count(summary.outcomes, 'etcdctl held the lock');
  } finally {
    rival.kill('SIGTERM');
    if (rival.exitCode === null && rival.signalCode === null) await once(rival, 'exit');
  }
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
