import * as v from 'valibot';
import { basicAuth } from '../lib/http/auth.ts';
import { instant } from '../lib/instant.ts';
import type { Job } from '../lib/job.ts';
import { cursorPages } from '../lib/read/cursor-pages.ts';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const price = v.pipe(v.number(), v.finite(), v.minValue(0));

/** An id becomes part of a URL's path: a lone surrogate cannot be encoded, and normalising drops `.` and `..`. */
const id = v.pipe(
  v.string(),
  v.nonEmpty(),
  v.check((text) => text.isWellFormed(), 'must be well-formed Unicode'),
  // Not maxBytes(), which copies each id to measure it.
  v.check((text) => Buffer.byteLength(text) <= 512, 'must be at most 512 bytes long'),
  v.notValues(['.', '..']),
);

/** What the source must send for each record; other fields are dropped. */
const model = v.object({
  id,
  name: v.pipe(v.string(), v.nonEmpty()),
  updatedAt: instant,
  limit: v.object({ context: count, output: count }),
  cost: v.optional(v.object({ input: price, output: price })),
});

/**
 * The job: what a record is, how to list records at the source, how to write one to the target. This is the file to edit.
 * The record's schema may come from any library that follows Standard Schema (valibot, zod, arktype).
 */
export const job: Job<v.InferOutput<typeof model>> = {
  name: 'models',
  record: model,
  id: (model) => model.id,
  updatedAt: (model) => model.updatedAt,
  source: {
    authorization: ({ username, password }) => basicAuth(username, password),
    list: cursorPages({
      path: '/v1/models',
      query: ({ since, until }) => ({ limit: 500, updated_since: since, updated_until: until }),
      records: 'models',
      next: 'nextCursor',
    }),
    one: (id) => `/v1/models/${encodeURIComponent(id)}`,
  },
  target: {
    request: ({ id, ...body }, { regionId }) => ({
      method: 'PUT',
      path: `/v1/regions/${encodeURIComponent(regionId)}/models/${encodeURIComponent(id)}`,
      body,
    }),
  },
};
