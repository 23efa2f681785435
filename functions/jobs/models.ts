import * as v from 'valibot';
import { basic, bearer, cursorPages, defineJob, instant } from '../../lib/job.ts';

const text = v.pipe(v.string(), v.nonEmpty('must not be empty'));
/** Goes into a header as it is; a line break at its end is an easy mistake. */
const token = v.pipe(text, v.regex(/^[\x21-\x7e]+$/, 'must be ASCII without blanks and line breaks'));
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

interface Own {
  TARGET_REGION_ID: string;
}

/** Where the target has the models of our region. */
const modelsPath = ({ TARGET_REGION_ID: region }: Own) => `/v1/regions/${encodeURIComponent(region)}/models`;
const pathOf = (id: string, settings: Own) => `${modelsPath(settings)}/${encodeURIComponent(id)}`;

/** The job that ships. Other jobs lie beside this file; functions/README.md says how to write one. */
export default defineJob({
  settings: v.object({
    TARGET_REGION_ID: v.pipe(
      v.string(),
      v.trim(),
      v.notValues(['.', '..'], 'must not be "." or "..", which URLs leave out'),
    ),
  }),
  secret: v.strictObject({
    source: v.strictObject({ username: text, password: text }),
    target: v.strictObject({ token }),
  }),
  /** What the source must send for each record; other fields are dropped. */
  record: v.object({
    id,
    name: v.pipe(v.string(), v.nonEmpty()),
    updatedAt: instant,
    limit: v.object({ context: count, output: count }),
    cost: v.optional(v.object({ input: price, output: price })),
  }),
  id: (model) => model.id,
  updatedAt: (model) => model.updatedAt,
  source: {
    auth: ({ secret }) => basic(secret.source.username, secret.source.password),
    list: cursorPages({
      path: '/v1/models',
      query: ({ since, until }) => ({ limit: 500, updated_since: since, updated_until: until }),
      records: 'models',
      next: 'nextCursor',
    }),
    one: (id) => `/v1/models/${encodeURIComponent(id)}`,
  },
  target: {
    auth: ({ secret }) => bearer(secret.target.token),
    write: ({ id, ...body }, { settings }) => ({ method: 'PUT', path: pathOf(id, settings), body }),
    remove: (id, { settings }) => ({ method: 'DELETE', path: pathOf(id, settings) }),
    list: (listing) =>
      cursorPages({
        path: modelsPath(listing.settings as Own),
        query: () => ({ limit: 1000 }),
        records: 'models',
        next: 'nextCursor',
      })(listing),
    existing(raw) {
      const { id, ...body } = raw as { id: string };
      return { id, body };
    },
  },
});
