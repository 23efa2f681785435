import { oneAhead } from '../engine/one-ahead.ts';
import { SourceError } from '../errors.ts';
import type { Page, TargetJob } from '../job-types.ts';
import { type Shard, shardOf } from '../shard.ts';
import { type Held, openHeld } from '../write/held.ts';

/** How to read what the target holds. */
export interface ReadingTarget {
  /** The pages of the target's list. */
  list: AsyncIterable<Page>;
  existing: NonNullable<TargetJob<unknown>['existing']>;
  shard: Shard | undefined;
  /** Once it aborts, no further page is read. */
  signal: AbortSignal;
}

/** A record as the target holds it. */
export interface Existing {
  id: string;
  body: unknown;
}

/**
 * Reads what the target holds, page by page; of a job in shards, the shard's own records.
 * @throws SourceError for a record of which the job's `existing` makes none, what the list throws, or the signal's reason
 */
export async function* existingRecords(reading: ReadingTarget): AsyncGenerator<Existing[]> {
  const { list, existing, shard, signal } = reading;
  const isOurs = shard && shard.of > 1 ? (id: string) => shardOf(id, shard.of) === shard.index : () => true;
  let number = 0;
  for await (const { records } of oneAhead(list, signal)) {
    number++;
    yield records
      .map((raw, index) => existingOf(existing, raw, `record ${index + 1} of page ${number} of the target's list`))
      .filter(({ id }) => isOurs(id));
  }
}

/** Reads the target's list into what a pass compares with. @throws what `existingRecords` throws */
export async function readHeld(reading: ReadingTarget): Promise<Held> {
  const held = openHeld();
  for await (const records of existingRecords(reading)) {
    for (const { id, body } of records) {
      try {
        held.add(id, body);
      } catch (cause) {
        throw new SourceError(`target.existing of the job gave a body that is no JSON for ${JSON.stringify(id)}`, {
          cause,
        });
      }
    }
  }
  return held;
}

function existingOf(existing: ReadingTarget['existing'], raw: unknown, place: string): Existing {
  let made: { id: unknown; body: unknown };
  try {
    const { id, body } = existing(raw);
    made = { id, body };
  } catch (error) {
    // Without its message, which may quote the record.
    throw new SourceError(`target.existing of the job threw ${(error as Error)?.name} at ${place}`);
  }
  const { id, body } = made;
  if (typeof id === 'string' && id !== '') return { id, body };
  throw new SourceError(`target.existing of the job gave no id for ${place}`);
}
