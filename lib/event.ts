import * as v from 'valibot';
import { listFaults } from './bounded.ts';
import { EventError } from './errors.ts';
import { utcInstant } from './instant.ts';

const natural = v.pipe(v.number(), v.integer(), v.minValue(0));

const shard = v.pipe(
  v.strictObject({ index: natural, of: natural }),
  v.check(({ index, of }) => index < of, 'index must be below of'),
);

const tick = v.strictObject({
  kind: v.optional(v.literal('tick'), 'tick'),
  /** A tick without it is never a duplicate or stale. */
  scheduledTime: v.optional(utcInstant),
  shard: v.optional(shard),
});

/** A tick of the timer. */
export type Tick = v.InferOutput<typeof tick> & {
  /** Set when a partial run has invoked the function again: the chain's first run, and the number of runs since. */
  continues?: { root: string; hop: number };
};

const continuation = v.strictObject({
  kind: v.literal('continue'),
  root: v.pipe(v.string(), v.nonEmpty(), v.maxLength(100)),
  hop: v.pipe(natural, v.minValue(1)),
  shard: v.optional(shard),
});

/** EventBridge's own event, from a rule or from a schedule without an input of its own. */
const scheduledEvent = v.object({
  source: v.picklist(['aws.events', 'aws.scheduler']),
  'detail-type': v.literal('Scheduled Event'),
  time: utcInstant,
});

const seconds = v.pipe(v.number(), v.integer('must be a whole number of seconds'), v.minValue(0), v.maxValue(900));

/** The id becomes part of a URL's path: normalising drops `.` and `..`, and a lone surrogate has no encoding. */
const recordId = v.pipe(
  v.string(),
  v.nonEmpty('must not be empty'),
  v.check((id) => id.isWellFormed(), 'must be well-formed Unicode'),
  v.notValues(['.', '..'], 'must not be "." or ".."'),
);

/** The most ids of one event. They are counted before each one is checked, because each fault takes memory. */
const MAX_IDS = 100_000;

const ids = v.pipe(
  v.array(v.unknown()),
  v.nonEmpty('must name an id'),
  v.maxLength(MAX_IDS, `must name at most ${MAX_IDS} ids`),
  v.array(recordId),
);

const backfillId = v.pipe(v.string(), v.regex(/^[\w-]{1,64}$/, 'must be an id from an earlier result'));

/** What every backfill can say. */
const ofBackfill = {
  kind: v.optional(v.literal('backfill'), 'backfill'),
  since: v.optional(utcInstant),
  until: v.optional(utcInstant),
  ids: v.optional(ids),
  shard: v.optional(shard),
  /** Continues the backfill with this id. */
  backfillId: v.optional(backfillId),
  concurrency: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000))),
  /** Who asks for it, for the history. */
  startedBy: v.optional(v.pipe(v.string(), v.nonEmpty('must not be empty'), v.maxLength(200))),
};

interface Range {
  since?: string | undefined;
  until?: string | undefined;
  ids?: string[] | undefined;
}
const isInOrder = ({ since, until }: Range) => !since || !until || since < until;
const isOneRange = ({ since, until, ids }: Range) => !ids || !(since || until);
const NOT_IN_ORDER = 'since must be before until';
const NOT_ONE_RANGE = 'ids and a window (since, until) exclude each other';

const backfill = v.pipe(
  v.strictObject({
    ...ofBackfill,
    /** How long to queue for the lock; 0 skips at once. */
    waitSeconds: v.optional(seconds, 0),
    /** Read and check only: no lock, nothing written. */
    dryRun: v.optional(v.boolean(), false),
    /** Show the values that differ, where the dry run compares. */
    values: v.optional(v.boolean()),
  }),
  v.check((range) => isInOrder(range), NOT_IN_ORDER),
  v.check((range) => isOneRange(range), NOT_ONE_RANGE),
  v.check(({ dryRun, values }) => dryRun || !values, 'values belongs to dryRun'),
  v.check(({ dryRun, backfillId }) => !dryRun || !backfillId, 'dryRun and backfillId exclude each other'),
);

/** A run by hand over a window of time, over single records, or (neither given) over everything. */
export type Backfill = v.InferOutput<typeof backfill> & {
  /** Set for a step of a detached backfill: its place in the chain. What it copies is in the state then. */
  step?: number;
};

/** A year of windows of an hour. Each one is a run of its own. */
const MAX_WINDOWS = 10_000;

const start = v.pipe(
  v.strictObject({
    ...ofBackfill,
    detach: v.literal(true),
    /** The length of the windows that the range is cut into. */
    windowSeconds: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  }),
  v.check((range) => isInOrder(range), NOT_IN_ORDER),
  v.check((range) => isOneRange(range), NOT_ONE_RANGE),
  v.check(({ since, windowSeconds }) => !windowSeconds || since !== undefined, 'windowSeconds needs since'),
  v.check(
    ({ since = '', until, windowSeconds }) => !windowSeconds || until !== undefined || Date.parse(since) < Date.now(),
    'windowSeconds needs an until where since is in the future',
  ),
  v.check(
    ({ since = '', until, windowSeconds = Number.POSITIVE_INFINITY }) =>
      (until ? Date.parse(until) : Date.now()) - Date.parse(since) <= windowSeconds * 1000 * MAX_WINDOWS ||
      since === '',
    `windowSeconds cuts the range into more than ${MAX_WINDOWS} windows`,
  ),
);

/** Starts a backfill that goes on in the cloud by itself, or goes on with one. */
export type StartBackfill = v.InferOutput<typeof start>;

/** Nobody holds a lock for so long: each wait is half of what an invocation has. */
const MAX_WAITS = 1000;

const step = v.strictObject({
  kind: v.literal('continue'),
  backfillId,
  shard: v.optional(shard),
  step: natural,
  /** How often this step has waited in vain. */
  waits: v.optional(v.pipe(natural, v.maxValue(MAX_WAITS, `the step has waited ${MAX_WAITS} times in vain`)), 0),
});

/** One step of a detached backfill. */
export type BackfillStep = v.InferOutput<typeof step>;

const control = v.variant(
  'action',
  [
    v.strictObject({ action: v.literal('status') }),
    v.strictObject({ action: v.literal('pause'), note: v.optional(v.pipe(v.string(), v.maxLength(500))) }),
    v.strictObject({ action: v.literal('resume') }),
    v.pipe(
      v.strictObject({
        action: v.literal('reset'),
        what: v.picklist(['checkpoint', 'watermark', 'failed']),
        to: v.optional(
          v.pipe(
            utcInstant,
            v.check((to) => Date.parse(to) <= Date.now(), 'must not be in the future'),
          ),
        ),
      }),
      v.check(({ what, to }) => to === undefined || what === 'watermark', 'to belongs to a reset of the watermark'),
    ),
    /** 0 withdraws an approval. */
    v.strictObject({ action: v.literal('approve-removals'), upTo: natural }),
    v.strictObject({ action: v.literal('cancel-backfill'), backfillId }),
  ],
  'must be "status", "pause", "resume", "reset", "approve-removals" or "cancel-backfill"',
);

export type Control = v.InferOutput<typeof control>;

/**
 * Parses a timer's event: our own, EventBridge's, a continuation, or `{}` sent by hand.
 * @throws EventError that names each fault and its place
 */
export function parseTick(event: unknown): Tick {
  if (v.is(v.object({ source: v.string(), 'detail-type': v.string() }), event)) {
    return { kind: 'tick', scheduledTime: parse('tick', scheduledEvent, event).time };
  }
  if (v.is(v.object({ kind: v.literal('continue') }), event)) {
    const { root, hop, shard } = parse('continue', continuation, event);
    return { kind: 'tick', shard, continues: { root, hop } };
  }
  return parse('tick', tick, event);
}

/** @throws EventError that names each fault and its place */
export const parseBackfill = (event: unknown): Backfill => parse('backfill', backfill, event);

/** Parses an event of the function `backfill`. @throws EventError that names each fault and its place */
export function parseBackfillEvent(event: unknown): Backfill | StartBackfill | BackfillStep {
  if (v.is(v.object({ kind: v.literal('continue') }), event)) return parse('continue', step, event);
  if (v.is(v.object({ detach: v.unknown() }), event)) return parse('backfill', start, event);
  return parseBackfill(event);
}

/** @throws EventError that names each fault and its place */
export const parseControl = (event: unknown): Control => parse('control', control, event);

function parse<T>(name: string, schema: v.GenericSchema<unknown, T>, event: unknown): T {
  // valibot takes an array for an object.
  if (Array.isArray(event)) throw new EventError(`the ${name} event was refused: it is a list, not an object`);
  const parsed = v.safeParse(schema, event, { abortPipeEarly: true });
  if (parsed.success) return parsed.output;
  const faults = parsed.issues.map((issue) => {
    const path = v.getDotPath(issue);
    if (issue.expected === 'never') return `unknown key ${path}`;
    if (issue.received === 'undefined' && issue.message.startsWith('Invalid key')) return `${path} is missing`;
    return path ? `${path}: ${issue.message}` : issue.message;
  });
  throw new EventError(`the ${name} event was refused: ${listFaults(faults)}`);
}
