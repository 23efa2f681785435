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

const backfill = v.pipe(
  v.strictObject({
    kind: v.optional(v.literal('backfill'), 'backfill'),
    since: v.optional(utcInstant),
    until: v.optional(utcInstant),
    ids: v.optional(ids),
    /** How long to queue for the lock; 0 skips at once. */
    waitSeconds: v.optional(seconds, 0),
    shard: v.optional(shard),
    /** Read and check only: no lock, nothing written. */
    dryRun: v.optional(v.boolean(), false),
    /** Show the values that differ, where the dry run compares. */
    values: v.optional(v.boolean()),
    /** Continues the partial backfill with this id. */
    backfillId: v.optional(v.pipe(v.string(), v.regex(/^[\w-]{1,64}$/, 'must be an id from an earlier result'))),
    concurrency: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000))),
    /** Who asks for it, for the history. */
    startedBy: v.optional(v.pipe(v.string(), v.nonEmpty('must not be empty'), v.maxLength(200))),
  }),
  v.check(({ since, until }) => !since || !until || since < until, 'since must be before until'),
  v.check(({ since, until, ids }) => !ids || !(since || until), 'ids and a window (since, until) exclude each other'),
  v.check(({ dryRun, values }) => dryRun || !values, 'values belongs to dryRun'),
  v.check(({ dryRun, backfillId }) => !dryRun || !backfillId, 'dryRun and backfillId exclude each other'),
);

/** A run by hand over a window of time, over single records, or (neither given) over everything. */
export type Backfill = v.InferOutput<typeof backfill>;

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
  ],
  'must be "status", "pause", "resume", "reset" or "approve-removals"',
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
