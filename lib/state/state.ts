import * as v from 'valibot';
import { bounded, listFaults } from '../bounded.ts';
import { StateError } from '../errors.ts';
import type { Budget, Etcd } from '../lock/etcd.ts';
import type { Holder } from '../lock/holder.ts';
import type { Put } from '../lock/mutex.ts';
import { both, type KeyValue, type Operation, type Query } from '../lock/query.ts';
import { otherDivision } from './other-division.ts';
import type { Places } from './places.ts';
import { backfillProgress, recent, schemas } from './schemas.ts';

type Name = keyof typeof schemas;

export type State = {
  [N in Name]?: v.InferOutput<(typeof schemas)[N]>;
} & {
  /** Read only under the lock, because it is long. */
  recent?: v.InferOutput<typeof recent>;
  /** The progress of the backfill that was asked for. */
  backfillProgress?: v.InferOutput<typeof backfillProgress>;
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
 * @param also what only a run under the lock needs: the recent versions, the progress of a backfill
 */
export function currentState(
  places: Places,
  also: { recent?: boolean; backfillId?: string | undefined } = {},
): Query<State> {
  const { statePrefix } = places;
  const extra: Record<string, { key: string; schema: v.GenericSchema<unknown, unknown> }> = {
    ...(also.recent && { recent: { key: `${statePrefix}recent`, schema: recent } }),
    ...(also.backfillId !== undefined && {
      backfillProgress: { key: backfillKey(statePrefix, also.backfillId), schema: backfillProgress },
    }),
  };
  const parts = [
    ...names.map((name) => ({ name, key: keyOf(places, name), schema: schemas[name] })),
    ...Object.entries(extra).map(([name, part]) => ({ name, ...part })),
  ];
  const values: Query<State> = {
    operations: parts.map(({ key }) => ({ request_range: { key: Buffer.from(key) } })),
    decode(answers) {
      const found = answers.map((answer) => answer.response_range.kvs[0]);
      const state: State = { consecutiveSkips: Number(found[names.indexOf('skips')]?.version ?? 0) };
      for (const [index, { name, schema }] of parts.entries()) {
        const value = found[index];
        if (value) Object.assign(state, { [name]: decodeValue<unknown>(value, schema) });
      }
      return state;
    },
  };
  const { operations, decode } = both(otherDivision(places), values);
  return {
    operations,
    decode(answers) {
      const [other, state] = decode(answers);
      return other ? { ...state, otherDivision: other } : state;
    },
  };
}

/** The operation that stores one part of the state. */
export function putState<N extends Name>(prefix: string, name: N, value: v.InferOutput<(typeof schemas)[N]>): Put {
  return put(prefix + name, value);
}

/** The operation that removes one part of the state, whether it is there or not. */
export function deleteState(prefix: string, name: Name): Operation {
  return { request_delete_range: { key: Buffer.from(prefix + name) } };
}

/** The operation that stores the versions that a completed pass has left at the target. */
export const putRecent = (prefix: string, value: v.InferOutput<typeof recent>): Put => put(`${prefix}recent`, value);

/** The operation that forgets them. */
export const deleteRecent = (prefix: string): Operation => ({
  request_delete_range: { key: Buffer.from(`${prefix}recent`) },
});

const backfillKey = (prefix: string, id: string) => `${prefix}backfills/${id}`;

/** The operation that stores where a backfill goes on. */
export function putBackfill(prefix: string, id: string, value: v.InferOutput<typeof backfillProgress>): Put {
  return put(backfillKey(prefix, id), value);
}

/** The operation that forgets a backfill. */
export function deleteBackfill(prefix: string, id: string): Operation {
  return { request_delete_range: { key: Buffer.from(backfillKey(prefix, id)) } };
}

const put = (key: string, value: unknown): Put => ({
  request_put: { key: Buffer.from(key), value: Buffer.from(JSON.stringify(value)) },
});

/**
 * Counts one more tick that found the lock held. A key's version counts its puts, so this is one call.
 * @returns the number of such ticks in a row, this one included
 */
export async function countSkip(
  etcd: Etcd,
  prefix: string,
  skip: v.InferOutput<typeof schemas.skips>,
  budget: Budget,
): Promise<number> {
  const { request_put } = putState(prefix, 'skips', skip);
  const answer = await etcd.txn(
    'count the skip',
    { success: [{ request_put: { ...request_put, prev_kv: true } }] },
    budget,
  );
  return Number(answer.responses[0]?.response_put.prev_kv?.version ?? 0) + 1;
}

/** The most bytes of a key and of what is wrong with its value, so that a message has room for both and what to do. */
const [MAX_KEY_BYTES, MAX_FAULTS_BYTES] = [1000, 800];

/** @throws StateError that names the key */
function decodeValue<T>(found: KeyValue, schema: v.GenericSchema<unknown, T>): T {
  const key = bounded(found.key.toString(), MAX_KEY_BYTES);
  let value: unknown;
  try {
    value = JSON.parse(found.value.toString());
  } catch (cause) {
    throw new StateError(`etcd key ${key} does not hold JSON; delete the key to start afresh`, { cause });
  }
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const faults = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'the value'}: ${issue.message}`);
  throw new StateError(
    `etcd key ${key} holds no valid state (${bounded(listFaults(faults), MAX_FAULTS_BYTES)}); delete the key to start afresh`,
  );
}
