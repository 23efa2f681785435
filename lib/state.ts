import type { IRequestOp, IResponseOp } from 'etcd3';
import * as v from 'valibot';
import { StateError } from './errors.ts';
import type { Budget, Etcd } from './etcd.ts';
import { utcInstant } from './instant.ts';
import type { Put } from './mutex.ts';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const report = v.object({
  read: count,
  written: count,
  invalid: count,
  failed: count,
  missing: count,
  unsettled: count,
  pages: count,
  peakInFlight: count,
  durationMs: count,
});

const run = v.object({
  runId: v.string(),
  kind: v.string(),
  status: v.picklist(['completed', 'partial', 'failed']),
  startedAt: utcInstant,
  endedAt: utcInstant,
  fencingToken: v.string(),
  report,
  error: v.optional(v.object({ name: v.string(), code: v.string(), message: v.string() })),
});

const pass = v.object({
  runId: v.string(),
  startedAt: utcInstant,
  full: v.boolean(),
  fingerprint: v.string(),
  since: v.optional(utcInstant),
  until: v.optional(utcInstant),
  cursor: v.nullable(v.string()),
  counts: report,
  sourceClock: v.optional(utcInstant),
  newest: v.optional(utcInstant),
  holdBack: v.optional(utcInstant),
});

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
    failed: v.optional(v.array(v.object({ id: v.string(), attempts: count })), []),
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
export type RunState = v.InferOutput<(typeof schemas)['run']>;
export type RunRecord = v.InferOutput<typeof run>;

export type State = {
  [N in Name]?: v.InferOutput<(typeof schemas)[N]>;
} & {
  /** Where the backfill that was asked for is to be resumed. */
  backfillPass?: v.InferOutput<typeof pass>;
  /** How many ticks in a row were skipped because somebody held the lock. */
  consecutiveSkips: number;
};

const names = Object.keys(schemas) as Name[];

/**
 * The reads that `stateOf` understands: one for each key, so that other keys under the prefix cost nothing.
 * @param backfillId of a backfill whose checkpoint is wanted as well
 */
export function readState(prefix: string, backfillId?: string): IRequestOp[] {
  const keys = names.map((name) => prefix + name);
  if (backfillId !== undefined) keys.push(backfillKey(prefix, backfillId));
  return keys.map((key) => ({ request_range: { key: Buffer.from(key) } }));
}

/**
 * The state as `readState` found it.
 * @throws StateError that names the key whose value cannot be understood.
 */
export function stateOf(prefix: string, answers: readonly IResponseOp[]): State {
  const state: Record<string, unknown> = { consecutiveSkips: 0 };
  for (const [index, name] of names.entries()) {
    const found = answers[index]?.response_range.kvs[0];
    if (!found) continue;
    state[name] = decode(prefix + name, schemas[name], found.value.toString());
    if (name === 'skips') state.consecutiveSkips = Number(found.version);
  }
  const backfill = answers[names.length]?.response_range.kvs[0];
  if (backfill) state.backfillPass = decode(backfill.key.toString(), pass, backfill.value.toString());
  return state as State;
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
export function putBackfill(prefix: string, id: string, value: v.InferInput<typeof pass>): Put {
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

function decode(key: string, schema: v.GenericSchema, text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new StateError(`etcd key ${key} does not hold JSON; delete the key to start afresh`, { cause });
  }
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const faults = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'the value'}: ${issue.message}`);
  throw new StateError(`etcd key ${key} holds no valid state (${faults.join('; ')}); delete the key to start afresh`);
}
