import { hash } from 'node:crypto';
import { EventError } from './errors.ts';
import type { Backfill, Tick } from './event.ts';
import type { Settings } from './settings/config.ts';

/** One of `of` parts of a job's records, each with a lock and a state of its own. */
export interface Shard {
  index: number;
  of: number;
}

const WHOLE: Shard = { index: 0, of: 1 };

/** The settings of one shard: its own lock, fencing scope and state. */
export function settingsOfShard(settings: Settings, shard: Shard = WHOLE): Settings {
  if (shard.of === 1) return settings;
  return {
    ...settings,
    lockKey: `${settings.jobLockKey}.shards/${shard.index}-of-${shard.of}`,
    statePrefix: `${settings.jobStatePrefix}shards/${shard.index}-of-${shard.of}/`,
  };
}

/** All shards that a job is divided into; one where it is not. */
export const shardsOf = ({ shards }: Settings): Shard[] =>
  Array.from({ length: shards }, (_, index) => ({ index, of: shards }));

/** @throws EventError for a backfill that does not fit `SHARDS`; a tick that does not is stale, see `reasonToSkip` */
export function checkBackfillShard(settings: Settings, { kind, shard = WHOLE }: Tick | Backfill): void {
  if (kind !== 'backfill' || shard.of === settings.shards) return;
  throw new EventError(
    `the backfill is for ${nameOfShard(shard)}, but SHARDS is ${settings.shards}: send one for each shard`,
  );
}

/** Whether a lock's key belongs to a division of the job into another number of shards than `of`. */
export function isOtherDivision(key: string, jobLockKey: string, of: number): boolean {
  if (key.startsWith(`${jobLockKey}/`)) return of !== 1;
  const division = /^\.shards\/\d+-of-(\d+)\//.exec(key.slice(jobLockKey.length))?.[1];
  return division !== undefined && Number(division) !== of;
}

/**
 * The shard that keeps a record: the first 32 bits of its id's SHA-256, modulo the number of shards. What has no id is
 * kept by the first one, so that it is counted once.
 */
export function shardOf(id: unknown, of: number): number {
  if (typeof id !== 'string') return 0;
  return Number.parseInt(hash('sha256', id).slice(0, 8), 16) % of;
}

export const nameOfShard = ({ index, of }: Shard = WHOLE) => (of === 1 ? 'the whole job' : `shard ${index} of ${of}`);
