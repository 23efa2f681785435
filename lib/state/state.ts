import type * as v from 'valibot';
import type { Holder } from '../lock/holder.ts';
import type { Put } from '../lock/mutex.ts';
import { both, nothing, type Operation, type Query } from '../lock/query.ts';
import { type BackfillProgress, backfillIds, backfillProgress, cancelled } from './backfill-schemas.ts';
import { backfillIdsKey, backfillKey, cancelledKey } from './backfills.ts';
import { history, historyKey } from './history.ts';
import { otherDivision } from './other-division.ts';
import type { Places } from './places.ts';
import { recent, schemas } from './schemas.ts';
import { decodeValue, putValue, readableValue } from './values.ts';
import { waiting, waitingKey } from './waiting.ts';
import { lastWanted, type Wanted } from './wanted.ts';

type Name = keyof typeof schemas;

export type State = {
  [N in Name]?: v.InferOutput<(typeof schemas)[N]>;
} & {
  /** Read only under the lock, because it is long. */
  recent?: v.InferOutput<typeof recent>;
  /** The same. */
  waiting?: v.InferOutput<typeof waiting>;
  /** Read only under the lock and for the status, because it is long. */
  history?: v.InferOutput<typeof history>;
  /** Read only under the lock. */
  wanted?: Wanted;
  /** The progress of the backfill that was asked for. */
  backfillProgress?: BackfillProgress;
  /** What it copies, where it is a detached one of single records. Read only under the lock, because it is long. */
  backfillIds?: string[];
  /** Set where it was asked to end. */
  cancelled?: v.InferOutput<typeof cancelled>;
  /** The holder of a lock of another number of shards. */
  otherDivision?: Holder;
  /** The number of ticks in a row that found the lock held. */
  consecutiveSkips: number;
};

const names = Object.keys(schemas) as Name[];

/** What all shards of a job have in common. */
const OF_JOB: ReadonlySet<Name> = new Set(['pause', 'division']);

const keyOf = ({ statePrefix, jobStatePrefix }: Places, name: Name) =>
  (OF_JOB.has(name) ? jobStatePrefix : statePrefix) + name;

/**
 * Reads the state: key by key, so that other keys under the prefix cost nothing, and whether a lock of another division into
 * shards is held. Its `decode` throws StateError that names the key whose value cannot be understood.
 * @param also what few need: a run under the lock the recent versions, the removals that wait, the history, the tick that is
 * wanted, and the progress of a backfill; the status the history
 */
export function currentState(
  places: Places,
  also: { underLock?: boolean; history?: boolean; backfillId?: string | undefined } = {},
): Query<State> {
  const { statePrefix, jobStatePrefix } = places;
  const { backfillId: id } = also;
  const extra: Record<string, { key: string; schema: v.GenericSchema<unknown, unknown>; read?: typeof readableValue }> =
    {
      ...(also.underLock && {
        recent: { key: `${statePrefix}recent`, schema: recent },
        waiting: { key: waitingKey(statePrefix), schema: waiting },
      }),
      ...((also.underLock || also.history) && {
        history: { key: historyKey(statePrefix), schema: history, read: readableValue },
      }),
      ...(id !== undefined && {
        backfillProgress: { key: backfillKey(statePrefix, id), schema: backfillProgress },
        cancelled: { key: cancelledKey(jobStatePrefix, id), schema: cancelled },
        ...(also.underLock && { backfillIds: { key: backfillIdsKey(statePrefix, id), schema: backfillIds } }),
      }),
    };
  const parts = [
    ...names.map((name) => ({ name, key: keyOf(places, name), schema: schemas[name], read: decodeValue })),
    ...Object.entries(extra).map(([name, part]) => ({ name, read: decodeValue, ...part })),
  ];
  const values: Query<State> = {
    operations: parts.map(({ key }) => ({ request_range: { key: Buffer.from(key) } })),
    decode(answers) {
      const found = answers.map((answer) => answer.response_range.kvs[0]);
      const state: State = { consecutiveSkips: Number(found[names.indexOf('skips')]?.version ?? 0) };
      for (const [index, { name, schema, read }] of parts.entries()) {
        const value = found[index];
        if (value) Object.assign(state, { [name]: read<unknown>(value, schema) });
      }
      return state;
    },
  };
  const latest = also.underLock ? lastWanted(places) : nothing;
  const { operations, decode } = both(both(otherDivision(places), latest), values);
  return {
    operations,
    decode(answers) {
      const [[other, wanted], state] = decode(answers);
      return { ...state, ...(wanted && { wanted }), ...(other && { otherDivision: other }) };
    },
  };
}

/** The operation that stores one part of the state. */
export function putState<N extends Name>(prefix: string, name: N, value: v.InferOutput<(typeof schemas)[N]>): Put {
  return putValue(prefix + name, value);
}

/** The operation that removes one part of the state, whether it is there or not. */
export function deleteState(prefix: string, name: Name): Operation {
  return { request_delete_range: { key: Buffer.from(prefix + name) } };
}

/** The operation that stores the versions that a completed pass has left at the target. */
export const putRecent = (prefix: string, value: v.InferOutput<typeof recent>): Put =>
  putValue(`${prefix}recent`, value);

/** The operation that forgets them. */
export const deleteRecent = (prefix: string): Operation => ({
  request_delete_range: { key: Buffer.from(`${prefix}recent`) },
});
