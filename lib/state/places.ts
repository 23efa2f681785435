import { allShards, type Shard } from '../shard.ts';

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
  const statePrefix = shard.of === 1 ? jobStatePrefix : `${jobStatePrefix}${partOf(shard)}/`;
  return { jobLockKey, jobStatePrefix, shards, lockKey: lockKeyOf(jobLockKey, shard), statePrefix };
}

/** The lock of a whole job, or of one of its shards; it is their fencing scope as well. */
export const lockKeyOf = (jobLockKey: string, shard: Shard): string =>
  shard.of === 1 ? jobLockKey : `${jobLockKey}.${partOf(shard)}`;

/**
 * The ranges that hold the locks of all other divisions, and none of our own: what lies between our locks, so that one key of
 * each range says whether there is one, however many wait for ours.
 */
export function otherLocks({ jobLockKey, shards }: Places): { key: Buffer; range_end: Buffer }[] {
  const whole = `${jobLockKey}/`;
  const divided = `${jobLockKey}.shards/`;
  const own = shards === 1 ? [] : allShards(shards).map((shard) => `${jobLockKey}.${partOf(shard)}/`);
  const starts = [divided, ...own.sort().map(endOf)];
  const ends = [...own, endOf(divided)];
  const ranges = starts.map((start, index) => [start, ends[index]!] as const);
  if (shards !== 1) ranges.push([whole, endOf(whole)]);
  return ranges.map(([start, end]) => ({ key: Buffer.from(start), range_end: Buffer.from(end) }));
}

/** The first key after all that begin with `prefix`, which ends with a slash; '0' is the character after it. */
const endOf = (prefix: string) => `${prefix.slice(0, -1)}0`;

const partOf = ({ index, of }: Shard) => `shards/${index}-of-${of}`;

/** Whether a key belongs to the lock of a division into another number of shards. */
export function isOtherDivision(key: string, { jobLockKey, shards }: Places): boolean {
  if (key.startsWith(`${jobLockKey}/`)) return shards !== 1;
  const division = /^\.shards\/\d+-of-(\d+)\//.exec(key.slice(jobLockKey.length))?.[1];
  return division !== undefined && Number(division) !== shards;
}
