import { setTimeout as sleep } from 'node:timers/promises';
import type { LocalEtcd } from '../../infra/local/etcd/etcd.ts';
import { drawKind } from '../support/kinds-of-job.ts';
import { mulberry32 } from '../support/random.ts';
import { startStage } from './stage.ts';

const RECORDS = 400;
const PAGE = 20;
const MAX_KILLS = 3;

/**
 * Kills a run at random moments, up to three times, and lets the next one end; each round has its own lock and state, and a
 * job of another kind. It revokes the dead holder's lease instead of waiting for its end.
 * @returns how often a run was killed, how many rounds were resumed at a checkpoint, and a sentence for each violation
 */
export async function playKills({ rounds, seed }: { rounds: number; seed: number }) {
  const random = mulberry32(seed);
  const firstTurn = Math.floor(random() * 24);
  const kindOf = (round: number) => drawKind(random, firstTurn + round, PAGE);
  await using stage = await startStage({ records: RECORDS, kind: kindOf(0), latencyMs: 5, ttlSeconds: 30 });
  const { etcd, target } = stage;
  const violations: string[] = [];
  let kills = 0;
  let resumed = 0;
  for (let round = 0; round < rounds; round++) {
    const lockKey = `/kills/${round}`;
    const kind = kindOf(round);
    stage.become(kind);
    target.models.clear();
    for (let killed = 0; ; killed++) {
      const settled = await settledRecords(etcd, lockKey);
      const contender = await stage.startContender(lockKey);
      const outcome = contender.tick();
      if (killed < MAX_KILLS) {
        await Promise.race([outcome, sleep(random() * 900)]);
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
      if (target.models.size !== RECORDS) fault(`the target holds ${target.models.size} of ${RECORDS} records`);
      const half = [...target.models.values()].filter((model) => Object(model).half).length;
      if (half > 0) fault(`${half} records were pushed by half`);
      break;
    }
  }
  return { rounds, kills, resumed, violations };
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
