import type { IKeyValue, IRequestOp, IResponseOp } from 'etcd3';
import * as v from 'valibot';
import { StateError } from '../errors.ts';
import type { Budget, Etcd } from '../lock/etcd.ts';
import { describeHolder, type Holder } from '../lock/holder.ts';
import type { Put } from '../lock/mutex.ts';
import { reportSchema } from '../report.ts';
import type { Settings } from '../settings/config.ts';
import { isOtherDivision } from '../shard.ts';
import { utcInstant } from '../time/instant.ts';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

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

const failures = v.optional(v.array(v.object({ id: v.string(), attempts: count })), []);

const pass = v.object({
  /** The run that began it. */
  runId: v.string(),
  startedAt: utcInstant,
  /** Whether it reads all there is, or what changed since the watermark. */
  full: v.boolean(),
  /** Of what the cursor belongs to: with another source, window or style it means nothing. */
  fingerprint: v.string(),
  /** Whether it reads single records, which the event names each time. */
  byIds: v.optional(v.boolean()),
  since: v.optional(utcInstant),
  until: v.optional(utcInstant),
  /** Where the next invocation goes on: after the longest prefix of pages of which every record is settled. */
  cursor: v.nullable(v.string()),
  /** Of those pages. */
  counts: reportSchema,
  /** The source's own clock when the pass began. */
  sourceClock: v.optional(utcInstant),
  /** The newest `updatedAt` in those pages. */
  newest: v.optional(utcInstant),
  /** The earliest `updatedAt` of a failed record that no list holds: the watermark must stay before it. */
  holdBack: v.optional(utcInstant),
});

/**
 * One reading of the source from a window's beginning to its end, over as many invocations as it takes. It is what a
 * checkpoint holds.
 */
export type Pass = v.InferOutput<typeof pass>;

/** Where a backfill is to be resumed, and the records that it could not write. */
const backfillProgress = v.object({ pass, failed: failures });

/** What each key under the state prefix holds, as JSON. */
const schemas = {
  /** The last tick that held the lock, and what later ticks are checked against. */
  run: v.object({
    last: run,
    /** The highest scheduled time of a completed tick: that or an earlier one again is a duplicate. */
    completedScheduledTime: v.optional(utcInstant),
    /** When the last completed tick began: the minimum interval counts from there. */
    completedStartedAt: v.optional(utcInstant),
  }),
  /** Where the timer's pass is to be resumed, and the ids of the records that failed and are read again. */
  checkpoint: v.object({
    pass: v.optional(pass),
    failed: failures,
    /** Short hashes of the invalid records that the dead-letter queue has had. */
    deadLettered: v.optional(v.array(v.string()), []),
  }),
  /** From when the next pass reads, and when the last full pass began. */
  watermark: v.object({ at: utcInstant, fullAt: v.optional(utcInstant) }),
  /** The last backfill that held the lock. */
  backfill: v.object({ last: run }),
  /** Written by `control`, without the lock. */
  pause: v.object({ since: utcInstant, note: v.optional(v.string()) }),
  /** The last tick that was skipped because of the lock; the key's version counts them. Written without the lock. */
  skips: v.object({ runId: v.string(), at: utcInstant }),
};

type Name = keyof typeof schemas;
export type RunRecord = v.InferOutput<typeof run>;

export type State = {
  [N in Name]?: v.InferOutput<(typeof schemas)[N]>;
} & {
  /** Where the backfill that was asked for is to be resumed. */
  backfillProgress?: v.InferOutput<typeof backfillProgress>;
  /** Who holds a lock of another number of shards. */
  otherDivision?: Holder;
  /** How many ticks in a row were skipped because somebody held the lock. */
  consecutiveSkips: number;
};

const names = Object.keys(schemas) as Name[];

/** Where a run's state is; the pause is that of the whole job. */
type Places = Pick<Settings, 'statePrefix' | 'jobStatePrefix' | 'jobLockKey' | 'shards'>;

const placeOf = ({ statePrefix, jobStatePrefix }: Places, name: Name) =>
  (name === 'pause' ? jobStatePrefix : statePrefix) + name;

/**
 * The reads that `stateOf` understands: one for each key, so that other keys under the prefix cost nothing, and one for
 * the locks of all divisions into shards.
 * @param backfillId of a backfill whose checkpoint is wanted as well
 */
export function readState(places: Places, backfillId?: string): IRequestOp[] {
  const keys = names.map((name) => placeOf(places, name));
  if (backfillId !== undefined) keys.push(backfillKey(places.statePrefix, backfillId));
  const { jobLockKey } = places;
  // The keys of `<lock>.shards/…` and `<lock>/…` are neighbours, so one range holds them all.
  const locks = { key: Buffer.from(`${jobLockKey}.shards/`), range_end: Buffer.from(`${jobLockKey}0`) };
  return [{ request_range: locks }, ...keys.map((key) => ({ request_range: { key: Buffer.from(key) } }))];
}

/**
 * The state as `readState` found it.
 * @throws StateError that names the key whose value cannot be understood.
 */
export function stateOf(places: Places, [locks, ...answers]: readonly IResponseOp[]): State {
  const state: State = { consecutiveSkips: 0 };
  for (const [index, name] of names.entries()) {
    const found = answers[index]?.response_range.kvs[0];
    if (found) Object.assign(state, { [name]: decode<unknown>(found, schemas[name]) });
    if (found && name === 'skips') state.consecutiveSkips = Number(found.version);
  }
  const backfill = answers[names.length]?.response_range.kvs[0];
  if (backfill) state.backfillProgress = decode(backfill, backfillProgress);
  const other = locks?.response_range.kvs.find(({ key }) =>
    isOtherDivision(key.toString(), places.jobLockKey, places.shards),
  );
  if (other) state.otherDivision = describeHolder(other);
  return state;
}

/** The operation that stores one part of the state. */
export function putState<N extends Name>(prefix: string, name: N, value: v.InferInput<(typeof schemas)[N]>): Put {
  return { request_put: { key: Buffer.from(prefix + name), value: Buffer.from(JSON.stringify(value)) } };
}

/** The operation that removes one part of the state, whether it is there or not. */
export function deleteState(prefix: string, name: Name): IRequestOp {
  return { request_delete_range: { key: Buffer.from(prefix + name) } };
}

const backfillKey = (prefix: string, id: string) => `${prefix}backfills/${id}`;

/** The operation that stores where a backfill is to be resumed. */
export function putBackfill(prefix: string, id: string, value: v.InferInput<typeof backfillProgress>): Put {
  return { request_put: { key: Buffer.from(backfillKey(prefix, id)), value: Buffer.from(JSON.stringify(value)) } };
}

/** The operation that forgets a backfill. */
export function deleteBackfill(prefix: string, id: string): IRequestOp {
  return { request_delete_range: { key: Buffer.from(backfillKey(prefix, id)) } };
}

/**
 * Notes one more tick that found the lock held; a key's version counts its puts, so this is one call.
 * @returns how many there were in a row, this one included
 */
export async function countSkip(
  etcd: Etcd,
  prefix: string,
  skip: v.InferInput<typeof schemas.skips>,
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

function decode<T>(found: IKeyValue, schema: v.GenericSchema<unknown, T>): T {
  const key = found.key.toString();
  let value: unknown;
  try {
    value = JSON.parse(found.value.toString());
  } catch (cause) {
    throw new StateError(`etcd key ${key} does not hold JSON; delete the key to start afresh`, { cause });
  }
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const faults = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'the value'}: ${issue.message}`);
  throw new StateError(`etcd key ${key} holds no valid state (${faults.join('; ')}); delete the key to start afresh`);
}
