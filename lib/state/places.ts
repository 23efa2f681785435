import type { Shard } from '../shard.ts';

/** Where a run's lock and state are in etcd. */
export interface Places {
  /** The lock that the run takes: the job's, or that of one of its shards. */
  lockKey: string;
  /** The state that belongs to that lock; ends with a slash. */
  statePrefix: string;
  /** The state of the whole job, where the pause is. */
  jobStatePrefix: string;
  /** The job's lock key, which the keys of all divisions into shards begin with. */
  jobLockKey: string;
  /** The number of shards that the settings ask for. */
  shards: number;
}

/** The places of a whole job, or of one of its shards, which has a lock, a fencing scope and a state of its own. */
export function placesOf(
  settings: { lockKey: string; statePrefix: string; shards: number },
  shard: Shard = { index: 0, of: 1 },
): Places {
  const { lockKey: jobLockKey, statePrefix: jobStatePrefix, shards } = settings;
  const job = { jobLockKey, jobStatePrefix, shards };
  if (shard.of === 1) return { ...job, lockKey: jobLockKey, statePrefix: jobStatePrefix };
  const part = `shards/${shard.index}-of-${shard.of}`;
  return { ...job, lockKey: `${jobLockKey}.${part}`, statePrefix: `${jobStatePrefix}${part}/` };
}

/** A range that holds the lock keys of all divisions: the keys of `<lock>.shards/…` and `<lock>/…` are neighbours. */
export const allLocks = ({ jobLockKey }: Places) => ({
  key: Buffer.from(`${jobLockKey}.shards/`),
  range_end: Buffer.from(`${jobLockKey}0`),
});

/** Whether a key belongs to the lock of a division into another number of shards. */
export function isOtherDivision(key: string, { jobLockKey, shards }: Places): boolean {
  if (key.startsWith(`${jobLockKey}/`)) return shards !== 1;
  const division = /^\.shards\/\d+-of-(\d+)\//.exec(key.slice(jobLockKey.length))?.[1];
  return division !== undefined && Number(division) !== shards;
}
