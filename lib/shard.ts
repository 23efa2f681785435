import { hash } from 'node:crypto';
import { EventError } from './errors.ts';

/** One of `of` parts of a job's records. */
export interface Shard {
  index: number;
  of: number;
}

const WHOLE: Shard = { index: 0, of: 1 };

/** All shards of a job that is divided into `of`; one for the whole job. */
export const allShards = (of: number): Shard[] => Array.from({ length: of }, (_, index) => ({ index, of }));

/**
 * Checks that a backfill is for the division that the settings ask for. A tick that is not is stale, see `reasonToSkip`.
 * @throws EventError
 */
export function checkBackfillShard({ shard = WHOLE }: { shard?: Shard | undefined }, shards: number): void {
  if (shard.of === shards) return;
  throw new EventError(`the backfill is for ${nameOfShard(shard)}, but SHARDS is ${shards}: send one for each shard`);
}

/**
 * The shard that keeps a record: the first 32 bits of its id's SHA-256, modulo the number of shards. The first shard keeps
 * what has no id, so that it is counted once.
 */
export function shardOf(id: unknown, of: number): number {
  if (typeof id !== 'string') return 0;
  return Number.parseInt(hash('sha256', id).slice(0, 8), 16) % of;
}

export const nameOfShard = ({ index, of }: Shard = WHOLE) => (of === 1 ? 'the whole job' : `shard ${index} of ${of}`);
