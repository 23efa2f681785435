import * as v from 'valibot';
import { recordIds, windowSeconds } from '../../lib/backfill-event.ts';
import { utcInstant } from '../../lib/instant.ts';
import { backfillId } from '../../lib/parse-event.ts';
import { RESETTABLE } from '../operate/commands.ts';

const action = v.variant('do', [
  v.strictObject({ do: v.literal('tick') }),
  v.strictObject({ do: v.literal('pause'), note: v.optional(v.pipe(v.string(), v.maxLength(500))) }),
  v.strictObject({ do: v.literal('resume') }),
  // Whether the range makes sense, the function says.
  v.strictObject({
    do: v.literal('backfill'),
    since: v.optional(utcInstant),
    until: v.optional(utcInstant),
    ids: v.optional(recordIds),
    windowSeconds: v.optional(windowSeconds),
    dryRun: v.boolean(),
  }),
  v.strictObject({ do: v.literal('retry-failed') }),
  v.strictObject({ do: v.literal('show-removals') }),
  v.strictObject({
    do: v.literal('approve-removals'),
    upTo: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(999_999_999)),
  }),
  v.pipe(
    v.strictObject({ do: v.literal('reset'), what: v.picklist(RESETTABLE), to: v.optional(utcInstant) }),
    v.check(({ what, to }) => to === undefined || what === 'watermark', 'to belongs to a reset of the watermark'),
  ),
  v.strictObject({ do: v.picklist(['cancel-backfill', 'resume-backfill']), backfillId }),
]);

/** What the page may ask for. */
export type Action = v.InferOutput<typeof action>;

const request = v.strictObject({ job: v.string(), action });

/** An action, and the job that it is about. */
export type Asked = v.InferOutput<typeof request>;

/** Parses the body of a request. @returns the action, or what is wrong with it */
export function readAction(body: string, jobs: readonly string[]): Asked | { fault: string } {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return { fault: 'the request is not JSON' };
  }
  const parsed = v.safeParse(request, value, { abortPipeEarly: true });
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const path = v.getDotPath(issue);
    return { fault: `${path ? `${path}: ` : ''}${issue.message}` };
  }
  if (!jobs.includes(parsed.output.job)) return { fault: 'there is no such job' };
  return parsed.output;
}
