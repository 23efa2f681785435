import * as v from 'valibot';
import { utcInstant } from './instant.ts';
import { backfillId, natural, parseEvent, shard } from './parse-event.ts';

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

export const recordIds = v.pipe(
  v.array(v.unknown()),
  v.nonEmpty('must name an id'),
  v.maxLength(MAX_IDS, `must name at most ${MAX_IDS} ids`),
  v.array(recordId),
);

export const windowSeconds = v.pipe(v.number(), v.integer(), v.minValue(1));

/** What every backfill can say. */
const ofBackfill = {
  kind: v.optional(v.literal('backfill'), 'backfill'),
  since: v.optional(utcInstant),
  until: v.optional(utcInstant),
  ids: v.optional(recordIds),
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
  /** Whether this step has waited in vain before. */
  waited?: boolean;
};

/** A year of windows of an hour. Each one is a run of its own. */
const MAX_WINDOWS = 10_000;

const start = v.pipe(
  v.strictObject({
    ...ofBackfill,
    detach: v.literal(true),
    /** The length of the windows that the range is cut into. */
    windowSeconds: v.optional(windowSeconds),
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

/** @throws EventError that names each fault and its place */
export const parseBackfill = (event: unknown): Backfill => parseEvent('backfill', backfill, event);

/** Parses an event of the function `backfill`. @throws EventError that names each fault and its place */
export function parseBackfillEvent(event: unknown): Backfill | StartBackfill | BackfillStep {
  if (v.is(v.object({ kind: v.literal('continue') }), event)) return parseEvent('continue', step, event);
  if (v.is(v.object({ detach: v.unknown() }), event)) return parseEvent('backfill', start, event);
  return parseBackfill(event);
}
