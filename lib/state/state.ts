import * as v from 'valibot';
import { bounded, listFaults } from '../bounded.ts';
import { StateError } from '../errors.ts';
import { utcInstant } from '../instant.ts';
import type { Budget, Etcd } from '../lock/etcd.ts';
import type { Holder } from '../lock/holder.ts';
import type { Put } from '../lock/mutex.ts';
import { both, type KeyValue, type Operation, type Query } from '../lock/query.ts';
import { reportSchema } from '../report.ts';
import { otherDivision } from './other-division.ts';
import type { Places } from './places.ts';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
/** As many as the settings allow. */
const shardCount = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1000));

const run = v.object({
  runId: v.string(),
  kind: v.string(),
  status: v.picklist(['completed', 'partial', 'failed']),
  startedAt: utcInstant,
  endedAt: utcInstant,
  fencingToken: v.string(),
  report: reportSchema,
  error: v.optional(v.object({ name: v.string(), code: v.string(), message: v.string() })),
});

/** A server wants to be left alone until then. */
const quota = v.object({ until: utcInstant, message: v.string() });
export type Quota = v.InferOutput<typeof quota>;
/** A server may ask for the moon, and a clock may have been ahead: longer than this, nobody leaves a server alone. */
export const MAX_QUOTA_MS = 86_400_000;

const failures = v.optional(v.array(v.object({ id: v.string(), attempts: count })), []);

const pass = v.object({
  /** The run that began it. */
  runId: v.string(),
  startedAt: utcInstant,
  /** Whether it reads everything, or what changed since the watermark. */
  full: v.boolean(),
  /** What the cursor belongs to: with another source, window or kind of paging it means nothing. */
  fingerprint: v.string(),
  /** Whether it reads single records, which the event names each time. */
  byIds: v.optional(v.boolean()),
  since: v.optional(utcInstant),
  until: v.optional(utcInstant),
  /** Where the next invocation goes on: behind the settled pages. Null: at the beginning. */
  cursor: v.nullable(v.string()),
  /** The counts of the settled pages. */
  counts: reportSchema,
  /**
   * The settled part of the list: whether no record changed before the one before it, how often one changed later, the
   * oldest change of its first page, the newest of all, and how many records there are.
   */
  listed: v.optional(
    v.object({
      ordered: v.boolean(),
      rises: v.optional(count, 0),
      oldest: v.optional(utcInstant),
      newest: v.optional(utcInstant),
      read: count,
    }),
  ),
  /** How far the pass had got when it had to begin again, and from when it reads since, where the list allows that. */
  restart: v.optional(v.object({ read: count, newest: v.optional(utcInstant), since: v.optional(utcInstant) })),
  /** The source's own clock when the pass began. */
  sourceClock: v.optional(utcInstant),
  /** The newest `updatedAt` in the settled pages. */
  newest: v.optional(utcInstant),
  /** The earliest `updatedAt` of a failed record that no list holds: the watermark must stay before it. */
  holdBack: v.optional(utcInstant),
});

/**
 * One reading of the source from a window's beginning to its end, over as many invocations as it takes. A checkpoint holds
 * one.
 */
export type Pass = v.InferOutput<typeof pass>;

/** The versions that the last completed pass has left at the target: packed, and the watermark that it has set. */
const recent = v.object({ at: utcInstant, versions: v.string() });

/** Where a backfill goes on, and the records that it could not write. */
const backfillProgress = v.object({ pass, failed: failures });

/** Scopes of more divisions are not closed: a write would have to be under way while `SHARDS` changes as often as that. */
export const MAX_EARLIER_DIVISIONS = 4;

/** What each key under the state prefix holds, as JSON. */
const schemas = {
  /** The last tick that held the lock, and what later ticks are checked against. */
  run: v.object({
    last: run,
    /** The highest scheduled time of a completed tick: that one or an earlier one is a duplicate. */
    completedScheduledTime: v.optional(utcInstant),
    /** When the last completed tick began: the minimum interval counts from there. */
    completedStartedAt: v.optional(utcInstant),
    /** The generation of the job's division whose earlier fencing scopes are closed at the target. */
    closedGeneration: v.optional(count),
    /** Set where the last tick has met a quota that is used up for long. */
    quota: v.optional(quota),
  }),
  /** Where the timer's pass goes on, and the ids of the failed records, which are read again. */
  checkpoint: v.object({
    pass: v.optional(pass),
    failed: failures,
    /** Short hashes of the invalid records that were sent to the dead-letter queue. */
    deadLettered: v.optional(v.array(v.string()), []),
  }),
  /** Where the next pass begins to read, and when the last full pass began. */
  watermark: v.object({ at: utcInstant, fullAt: v.optional(utcInstant) }),
  /** The last backfill that held the lock. */
  backfill: v.object({ last: run }),
  /** Written by `control`, without the lock. */
  pause: v.object({ since: utcInstant, note: v.optional(v.string()) }),
  /** Into how many shards the job is divided, how often that number has changed, and what it was before, latest first. */
  division: v.object({
    shards: shardCount,
    generation: count,
    earlier: v.pipe(v.array(shardCount), v.maxLength(MAX_EARLIER_DIVISIONS)),
  }),
  /** The last tick that found the lock held; the key's version counts them. Written without the lock. */
  skips: v.object({ runId: v.string(), at: utcInstant }),
};

type Name = keyof typeof schemas;
export type RunRecord = v.InferOutput<typeof run>;

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
