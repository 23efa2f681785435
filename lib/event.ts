import * as v from 'valibot';
import { utcInstant } from './instant.ts';
import { backfillId, natural, parseEvent, shard } from './parse-event.ts';

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
    return { kind: 'tick', scheduledTime: parseEvent('tick', scheduledEvent, event).time };
  }
  if (v.is(v.object({ kind: v.literal('continue') }), event)) {
    const { root, hop, shard } = parseEvent('continue', continuation, event);
    return { kind: 'tick', shard, continues: { root, hop } };
  }
  return parseEvent('tick', tick, event);
}

/** @throws EventError that names each fault and its place */
export const parseControl = (event: unknown): Control => parseEvent('control', control, event);
