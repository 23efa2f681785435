import * as v from 'valibot';
import { utcInstant } from '../../lib/instant.ts';
import { RESETTABLE } from '../operate/commands.ts';

const id = v.pipe(v.string(), v.nonEmpty(), v.maxLength(2000));

const backfillId = v.pipe(v.string(), v.regex(/^[\w-]{1,64}$/));

const action = v.variant('do', [
  v.strictObject({ do: v.literal('tick') }),
  v.strictObject({ do: v.literal('pause'), note: v.optional(v.pipe(v.string(), v.maxLength(500))) }),
  v.strictObject({ do: v.literal('resume') }),
  v.pipe(
    v.strictObject({
      do: v.literal('backfill'),
      since: v.optional(utcInstant),
      until: v.optional(utcInstant),
      ids: v.optional(v.pipe(v.array(id), v.nonEmpty('must name an id'), v.maxLength(100_000))),
      windowSeconds: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
      dryRun: v.boolean(),
    }),
    v.check(({ since, until }) => !since || !until || since < until, 'since must be before until'),
    v.check(({ since, windowSeconds }) => !windowSeconds || since !== undefined, 'windowSeconds needs since'),
    v.check(({ since, until, ids }) => !ids || !(since || until), 'ids and a window exclude each other'),
  ),
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
