import { keyValue, type Operation, type Query } from '../lock/query.ts';
import { type BackfillProgress, backfillIds, backfillProgress, cancelled } from './backfill-schemas.ts';
import type { Places } from './places.ts';
import { decodeValue, putValue } from './values.ts';

/** A detached backfill that has ended stays known for so long. */
export const KEPT_SECONDS = 30 * 86_400;

/** Where each backfill is kept; ends with a slash. */
export const backfillsUnder = (statePrefix: string) => `${statePrefix}backfills/`;

export const backfillKey = (statePrefix: string, id: string) => backfillsUnder(statePrefix) + id;
export const backfillIdsKey = (statePrefix: string, id: string) => `${statePrefix}backfill-ids/${id}`;
export const cancelledKey = (jobStatePrefix: string, id: string) => `${jobStatePrefix}cancelled/${id}`;

const put = (key: string, value: unknown, lease?: string) => {
  const { request_put } = putValue(key, value);
  return { request_put: { ...request_put, ...(lease !== undefined && { lease }) } };
};
const remove = (key: string): Operation => ({ request_delete_range: { key: Buffer.from(key) } });

/** Stores where a backfill goes on. @param lease etcd forgets it with this lease */
export const putBackfill = (statePrefix: string, id: string, value: BackfillProgress, lease?: string) =>
  put(backfillKey(statePrefix, id), value, lease);

export const deleteBackfill = (statePrefix: string, id: string) => remove(backfillKey(statePrefix, id));

/** Stores the ids that a detached backfill copies. */
export const putBackfillIds = (statePrefix: string, id: string, ids: string[], lease?: string) =>
  put(backfillIdsKey(statePrefix, id), ids, lease);

export const deleteBackfillIds = (statePrefix: string, id: string) => remove(backfillIdsKey(statePrefix, id));

/** Asks a detached backfill to end; put without the lock. */
export const putCancelled = (jobStatePrefix: string, id: string, at: string, lease: string) =>
  put(cancelledKey(jobStatePrefix, id), { at }, lease);

export const deleteCancelled = (jobStatePrefix: string, id: string) => remove(cancelledKey(jobStatePrefix, id));

/** Reads where a backfill goes on, and when that was put, as a revision of etcd. Its `decode` throws StateError. */
export function backfillOf(
  statePrefix: string,
  id: string,
): Query<{ progress: BackfillProgress; revision: string } | undefined> {
  const { operations, decode } = keyValue(Buffer.from(backfillKey(statePrefix, id)));
  return {
    operations,
    decode(answers) {
      const found = decode(answers);
      return found && { progress: decodeValue(found, backfillProgress), revision: found.mod_revision };
    },
  };
}

/** Reads the ids that a detached backfill copies. Its `decode` throws StateError. */
export function backfillIdsOf(statePrefix: string, id: string): Query<string[] | undefined> {
  const { operations, decode } = keyValue(Buffer.from(backfillIdsKey(statePrefix, id)));
  return {
    operations,
    decode(answers) {
      const found = decode(answers);
      return found && decodeValue(found, backfillIds);
    },
  };
}

/** Reads whether a detached backfill was asked to end. Its `decode` throws StateError. */
export function isCancelled({ jobStatePrefix }: Pick<Places, 'jobStatePrefix'>, id: string): Query<boolean> {
  const { operations, decode } = keyValue(Buffer.from(cancelledKey(jobStatePrefix, id)));
  return {
    operations,
    decode(answers) {
      const found = decode(answers);
      return found !== undefined && decodeValue(found, cancelled) !== undefined;
    },
  };
}

/** What etcd has to compare so that a backfill is changed only as it was read; `revision` undefined: it was not there. */
export const unchangedBackfill = (statePrefix: string, id: string, revision: string | undefined) => ({
  key: Buffer.from(backfillKey(statePrefix, id)),
  target: 'Mod' as const,
  result: 'Equal' as const,
  mod_revision: revision ?? '0',
});

/** So many keys are listed. Each stays for 30 days after the end of its backfill, or for ever where that was not a detached one. */
const MAX_LISTED = 500;

/**
 * Reads the ids of the backfills that have changed last, when that was, as a revision of etcd, and whether it was the end of a
 * detached one, which its lease says.
 */
export function latestBackfills(statePrefix: string): Query<{ id: string; revision: string; hasEnded: boolean }[]> {
  const prefix = backfillsUnder(statePrefix);
  // '0' is the character after the slash.
  const range = { key: Buffer.from(prefix), range_end: Buffer.from(`${prefix.slice(0, -1)}0`) };
  const latest = { sort_target: 'Mod', sort_order: 'Descend', limit: MAX_LISTED, keys_only: true } as const;
  return {
    operations: [{ request_range: { ...range, ...latest } }],
    decode: ([answer]) =>
      answer!.response_range.kvs.map(({ key, mod_revision: revision, lease }) => ({
        id: key.toString().slice(prefix.length),
        revision,
        hasEnded: lease !== '0',
      })),
  };
}
