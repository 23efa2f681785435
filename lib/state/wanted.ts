import * as v from 'valibot';
import { utcInstant } from '../instant.ts';
import { keyValue, type Query } from '../lock/query.ts';
import type { Places } from './places.ts';
import { readableValue } from './values.ts';

/**
 * The last tick that found the lock held. The key is never deleted: its version counts all such ticks, and its modification
 * revision says whether the last of them came since a holder has taken the lock.
 */
const wanted = v.object({ runId: v.string(), at: utcInstant, scheduledTime: v.optional(utcInstant) });

/** A tick that found the lock held, and so did not run. */
export type Wanting = v.InferOutput<typeof wanted>;

/** The last one of a lock, as far as its value can be understood. */
export interface Wanted extends Partial<Wanting> {
  /** When it was, as a revision of etcd. */
  revision: string;
  /** How many there have been since the key is there. */
  count: number;
}

export const wantedKey = ({ statePrefix }: Pick<Places, 'statePrefix'>) => `${statePrefix}wanted`;

/** Reads the last tick that found the lock held. */
export function lastWanted(places: Pick<Places, 'statePrefix'>): Query<Wanted | undefined> {
  const { operations, decode } = keyValue(Buffer.from(wantedKey(places)));
  return {
    operations,
    decode(answers) {
      const found = decode(answers);
      return found && { ...readableValue(found, wanted), revision: found.mod_revision, count: Number(found.version) };
    },
  };
}

/**
 * Reads the last tick that found the lock held since its holder has put its key; undefined where there was none. One that came
 * while the holder still waited for its turn counts, because nobody else makes way for it.
 * @param token the holder's fencing token
 */
export function wantedSince(places: Pick<Places, 'statePrefix'>, token: string): Query<Wanted | undefined> {
  const { operations, decode } = lastWanted(places);
  return {
    operations,
    decode(answers) {
      const last = decode(answers);
      return last && isLater(last.revision, token) ? last : undefined;
    },
  };
}

/** Whether one revision of etcd comes after another. */
export const isLater = (revision: string, other: string): boolean => BigInt(revision) > BigInt(other);
