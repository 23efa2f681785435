import * as v from 'valibot';
import { utcInstant } from '../instant.ts';
import { reportSchema } from '../report.ts';

export const count = v.pipe(v.number(), v.integer(), v.minValue(0));
/** As many as the settings allow. */
const shardCount = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1000));

/** A revision of etcd. */
export const revision = v.pipe(v.string(), v.regex(/^\d{1,20}$/, 'must be a revision'));

export const error = v.object({ name: v.string(), code: v.string(), message: v.string() });

const run = v.object({
  runId: v.string(),
  kind: v.string(),
  status: v.picklist(['completed', 'partial', 'failed']),
  startedAt: utcInstant,
  endedAt: utcInstant,
  fencingToken: revision,
  report: reportSchema,
  error: v.optional(error),
});
export type RunRecord = v.InferOutput<typeof run>;

/** A server wants to be left alone until then. */
const quota = v.object({ until: utcInstant, message: v.string() });
export type Quota = v.InferOutput<typeof quota>;
/** A server may ask for the moon, and a clock may have been ahead: longer than this, nobody leaves a server alone. */
export const MAX_QUOTA_MS = 86_400_000;

export const failures = v.optional(
  v.array(
    v.object({
      ...{ id: v.string(), attempts: count, reason: v.optional(v.string()) },
      deletedAt: v.optional(utcInstant),
    }),
  ),
  [],
);

export const pass = v.object({
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
  /** How often it had to begin again. */
  again: v.optional(count),
  /** The source's own clock when the pass began. */
  sourceClock: v.optional(utcInstant),
  /** By hashes of their ids, records that have changed within the pass: how often, and 52 bits of the last content's hash. */
  changes: v.optional(v.record(v.string(), v.tuple([count, count]))),
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

/**
 * The versions that the last completed pass has left at the target: packed, and the watermark that it has set. None where they
 * were `tooMany`, which is kept so that the log says it when it begins and not at each tick.
 */
export const recent = v.object({ at: utcInstant, versions: v.string(), tooMany: v.optional(v.boolean()) });

/** Scopes of more divisions are not closed: a write would have to be under way while `SHARDS` changes as often as that. */
export const MAX_EARLIER_DIVISIONS = 4;

/** How many vanished records the last pass that compared did not remove, of how many that the target held, and when. */
const removals = v.object({
  withheld: count,
  of: count,
  at: utcInstant,
  /** The next pass that compares may remove up to this many; its end uses the approval up. */
  approvedUpTo: v.optional(count),
});
export type Removals = v.InferOutput<typeof removals>;

/** What each key under the state prefix holds, as JSON, but for those that few runs read. */
export const schemas = {
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
  /** The last backfill that held the lock, and a quota that it has met. */
  backfill: v.object({ last: run, quota: v.optional(quota) }),
  /** There only while removals are withheld. */
  removals,
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
