import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { LocalEtcd } from '../../infra/local/etcd/etcd.ts';
import type { BulkTarget } from '../support/bulk-target.ts';
import { drawKind, idOf, type Kind } from '../support/kinds-of-job.ts';
import { mulberry32 } from '../support/random.ts';
import { startStage } from './stage.ts';

const RECORDS = 400;
const PAGE = 20;
const MAX_KILLS = 3;
/** Fewer than the guard withholds. */
const VANISHED = 30;

/** Every so many rounds have a job that writes many records at once, compares and removes. */
const BULK_EVERY = 3;

/**
 * Kills a run at random moments, up to three times, and lets the next one end; each round has its own lock and state, and a
 * job of another kind. It revokes the dead holder's lease instead of waiting for its end.
 * @returns how often a run was killed, how many rounds were resumed at a checkpoint, and a sentence for each violation
 */
export async function playKills({ rounds, seed }: { rounds: number; seed: number }) {
  const random = mulberry32(seed);
  const firstTurn = Math.floor(random() * 24);
  const kindOf = (round: number) => {
    const kind = drawKind(random, firstTurn + round, PAGE);
    return round % BULK_EVERY === 1 ? { ...kind, bulk: true } : kind;
  };
  await using stage = await startStage({ records: RECORDS, kind: kindOf(0), latencyMs: 5, ttlSeconds: 30 });
  const { etcd, target, bulkTarget } = stage;
  const violations: string[] = [];
  let kills = 0;
  let resumed = 0;
  for (let round = 0; round < rounds; round++) {
    const lockKey = `/kills/${round}`;
    const kind = kindOf(round);
    stage.become(kind);
    target.models.clear();
    const removals = kind.bulk ? leaveBehind(bulkTarget, kind, random) : [];
    for (let killed = 0; ; killed++) {
      const settled = await settledRecords(etcd, lockKey);
      const contender = await stage.startContender(lockKey);
      const outcome = contender.tick();
      if (killed < MAX_KILLS) {
        const isOver = outcome.then(() => true);
        if (kind.bulk && random() < 0.7) await untilArrivals(bulkTarget, random, isOver);
        else await Promise.race([isOver, sleep(random() * 900)]);
        await contender.kill();
      }
      const { label, read, passRead } = await outcome;
      await contender.kill();
      await revokeAll(etcd);
      if (label === 'killed') {
        kills++;
        continue;
      }
      const fault = (what: string) =>
        violations.push(`round ${round}, after ${killed} kills: ${what} (${JSON.stringify(kind)})`);
      if (settled > 0) resumed++;
      if (label !== 'completed') fault(`the run ended with ${label}`);
      if (read !== RECORDS - settled) fault(`${read} records were read, ${settled} of ${RECORDS} had been settled`);
      if (passRead !== RECORDS) fault(`the pass counts ${passRead} of ${RECORDS} records`);
      if (kind.bulk) {
        // A run that has not read the whole list removes nothing: the next one does.
        const again = await stage.startContender(lockKey);
        const { label } = await again.tick();
        await again.kill();
        if (label !== 'completed') fault(`the next run ended with ${label}`);
        for (const what of faultsAt(bulkTarget, kind, removals)) fault(what);
        break;
      }
      if (target.models.size !== RECORDS) fault(`the target holds ${target.models.size} of ${RECORDS} records`);
      const half = [...target.models.values()].filter((model) => Object(model).half).length;
      if (half > 0) fault(`${half} records were pushed by half`);
      break;
    }
  }
  return { rounds, kills, resumed, violations };
}

/** What the target holds before a round: most of the records, some of them changed by hand, and some that have vanished. */
function leaveBehind({ models, removals, arrivals, tokens }: BulkTarget, kind: Kind, random: () => number): string[] {
  for (const list of [removals, arrivals, tokens]) list.length = 0;
  models.clear();
  for (let index = 0; index < RECORDS; index++) {
    const fate = random();
    if (fate > 0.1) models.set(`${idOf(kind, index)}`, fate < 0.4 ? { name: 'by hand' } : bodyOf(index));
  }
  const vanished = Array.from({ length: VANISHED }, (_, index) => `gone-${index}`);
  for (const id of vanished) models.set(id, { name: 'vanished' });
  return vanished;
}

const bodyOf = (index: number) => ({ name: `Record ${index}`, limit: { context: index, output: index } });

/** Resolves in the middle of the writes, or of the removals, or once the run is over. */
async function untilArrivals({ arrivals }: BulkTarget, random: () => number, isOver: Promise<boolean>) {
  const wanted = random() < 0.5 ? 'POST' : 'DELETE';
  const left = 1 + Math.floor(random() * (wanted === 'POST' ? 15 : VANISHED - 5));
  const from = arrivals.length;
  while (arrivals.slice(from).filter(({ method }) => method === wanted).length < left) {
    if (await Promise.race([isOver, sleep(2)])) return;
  }
}

/** What of the target is not as the source has it. */
function faultsAt({ models, removals, tokens }: BulkTarget, kind: Kind, vanished: string[]): string[] {
  const bodies = Array.from({ length: RECORDS }, (_, index) => [`${idOf(kind, index)}`, bodyOf(index)] as const);
  const wrong = bodies.filter(([id, body]) => !isDeepStrictEqual(models.get(id), body)).length;
  const others = removals.filter((id) => !vanished.includes(id)).length;
  return [
    ...(wrong > 0 ? [`${wrong} records at the target are not what the source has`] : []),
    ...(models.size > RECORDS ? [`${models.size - RECORDS} records that have vanished are at the target`] : []),
    ...(others > 0 ? [`${others} records were removed that the source has`] : []),
    ...(tokens.some((token, index) => token < (tokens[index - 1] ?? 0n))
      ? ['an accepted fencing token went back']
      : []),
  ];
}

/** How many records the checkpoint says are done. */
async function settledRecords(etcd: LocalEtcd, lockKey: string): Promise<number> {
  const text = (await etcd.etcdctl(['get', '--print-value-only', `${lockKey}-state/checkpoint`])).trim();
  return text === '' ? 0 : (JSON.parse(text).pass?.counts.read ?? 0);
}

async function revokeAll(etcd: LocalEtcd) {
  const leases = (await etcd.etcdctl(['lease', 'list'])).match(/^[0-9a-f]{8,}$/gm) ?? [];
  for (const lease of leases) await etcd.etcdctl(['lease', 'revoke', lease]).catch(() => undefined);
}
