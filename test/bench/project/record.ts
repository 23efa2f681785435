import * as v from 'valibot';
import { basic, bearer, cursorPages, instant } from '../../../lib/job.ts';

// What the jobs of the bench have in common: the records, the source and the way to say who asks are the demo's.

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const price = v.pipe(v.number(), v.finite(), v.minValue(0));
const text = v.pipe(v.string(), v.nonEmpty());

const settings = v.object({ TARGET_REGION_ID: v.string() });
const secret = v.object({
  source: v.object({ username: text, password: text }),
  target: v.object({ token: text }),
});
type Secret = v.InferOutput<typeof secret>;

const record = v.object({
  id: text,
  name: text,
  updatedAt: instant,
  limit: v.object({ context: count, output: count }),
  cost: v.optional(v.object({ input: price, output: price })),
});

/** What the jobs have in common beside source and target. */
export const common = {
  settings,
  secret,
  record,
  id: ({ id }: Model) => id,
  updatedAt: ({ updatedAt }: Model) => updatedAt,
};

export type Model = v.InferOutput<typeof record>;

/** @param limit records of a page */
export const source = (limit: number) => ({
  auth: ({ secret }: { secret: Secret }) => basic(secret.source.username, secret.source.password),
  list: pages(limit),
});
export const pages = (limit: number) =>
  cursorPages({
    path: '/v1/models',
    query: ({ since, until }) => ({ limit, updated_since: since, updated_until: until }),
    records: 'models',
    next: 'nextCursor',
  });

export const authOfTarget = ({ secret }: { secret: Secret }) => bearer(secret.target.token);
