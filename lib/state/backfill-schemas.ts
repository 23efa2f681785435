import * as v from 'valibot';
import { utcInstant } from '../instant.ts';
import { reportSchema } from '../report.ts';
import { count, error, failures, pass } from './schemas.ts';

/** The most ids of failed records that are kept of a detached backfill. */
export const MAX_FAILED_IDS = 20;

/** What is known of a detached backfill, or of a shard's part of it. */
const detached = v.object({
  status: v.picklist(['running', 'completed', 'failed', 'cancelled']),
  since: v.optional(utcInstant),
  until: v.optional(utcInstant),
  /** How many ids it copies; they have a key of their own. */
  idCount: v.optional(count),
  windowSeconds: v.optional(v.pipe(count, v.minValue(1))),
  concurrency: v.optional(count),
  /** The windows before this one are through. */
  window: count,
  /** Events of an earlier step are old ones. */
  step: count,
  /** How often a step has begun since the last page was settled. */
  attempts: count,
  /** When the next step begins to work. */
  notBefore: v.optional(utcInstant),
  /** The counts of the windows that are through. */
  counts: reportSchema,
  /** How many records of them were not written, and the first of them. */
  failedCount: count,
  failedIds: v.pipe(v.array(v.string()), v.maxLength(MAX_FAILED_IDS)),
  /** Records that the last run has read, in a second. */
  rate: v.optional(v.number()),
  startedAt: utcInstant,
  startedBy: v.optional(v.string()),
  updatedAt: utcInstant,
  endedAt: v.optional(utcInstant),
  lastError: v.optional(error),
});
export type Detached = v.InferOutput<typeof detached>;

/** Where a backfill goes on, and the records that it could not write. One that is not detached always has a pass. */
export const backfillProgress = v.object({ pass: v.optional(pass), failed: failures, detached: v.optional(detached) });
export type BackfillProgress = v.InferOutput<typeof backfillProgress>;

/** The ids that a detached backfill copies. */
export const backfillIds = v.array(v.string());

/** Asks a detached backfill to end. Written by `control`, without the lock. */
export const cancelled = v.object({ at: utcInstant });
