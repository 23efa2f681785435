import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import * as v from 'valibot';
import type { DemoSource } from '../../infra/local/demo/source.ts';
import { answer, bodyOf, serve } from '../../infra/local/serve.ts';
import {
  apiKey,
  auth,
  basic,
  bearer,
  cursorPages,
  defineJob,
  instant,
  type List,
  type Listing,
  linkPages,
  numberedPages,
  oauth2,
  offsetPages,
  type Page,
  type Push,
  streamPages,
  urlPages,
  type WriteContext,
} from '../../lib/job.ts';
import type { Job, TargetJob, WriteMany } from '../../lib/job-types.ts';
import { listing, manyAtOnce, remove } from './bulk-target.ts';

const PAGINGS = ['cursor', 'link', 'url', 'offset', 'numbered', 'array', 'ndjson', 'own'] as const;
const AUTHS = ['basic', 'bearer', 'header', 'query', 'oauth2', 'own'] as const;

/** What kind of job copies the records; plain data, so that another process can make the same job. */
export interface Kind {
  paging: (typeof PAGINGS)[number];
  /** Records of a page; a stream has one page. */
  size: number;
  /** Lists are read by POST, with the parameters in a body where the kind of paging has one. */
  post: boolean;
  /** Ids are numbers. */
  numbers: boolean;
  /** A record takes two requests. */
  push: boolean;
  /** Many records take one request, and the target is listed, at a `BulkTarget`; records have no times. */
  bulk?: boolean;
  source: (typeof AUTHS)[number];
  target: (typeof AUTHS)[number];
}

/** @param turn goes through the kinds of paging and of authorization, so that a few draws have each of them */
export function drawKind(random: () => number, turn: number, size: number): Kind {
  const drawn = () => random() < 0.5;
  const byTurn = <T>(of: readonly T[], more = 0) => of[(turn + more) % of.length]!;
  const [post, numbers, push] = [drawn(), drawn(), drawn()];
  return { paging: byTurn(PAGINGS), size, post, numbers, push, source: byTurn(AUTHS), target: byTurn(AUTHS, 2) };
}

/** The id of a record of this kind, as the source has it. */
export const idOf = ({ numbers }: Kind, index: number) => (numbers ? index : `record/${index}`);

interface Keys {
  username: string;
  password: string;
}

const signature = (password: string, method = '', path = '') =>
  createHash('sha256').update(`${password} ${method} ${path}`).digest('hex');

const authOf = (kind: Kind['source'], { username, password }: Keys, tokenUrl: string) =>
  ({
    basic: () => basic(username, password),
    bearer: () => bearer(password),
    header: () => apiKey({ header: 'X-Key', value: password }),
    query: () => apiKey({ query: 'key', value: password }),
    oauth2: () => oauth2({ tokenUrl, clientId: username, clientSecret: password }),
    own: () => auth(({ method, path }) => ({ 'X-Signature': signature(password, method, path) })),
  })[kind]();

function admits(kind: Kind['source'], { username, password }: Keys, request: IncomingMessage): boolean {
  const { headers, method, url = '/' } = request;
  return {
    basic: () => headers.authorization === `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`,
    bearer: () => headers.authorization === `Bearer ${password}`,
    header: () => headers['x-key'] === password,
    query: () => new URL(url, 'http://source').searchParams.get('key') === password,
    oauth2: () => headers.authorization === `Bearer ${signature(password, username)}`,
    own: () => headers['x-signature'] === signature(password, method, url),
  }[kind]();
}

/** A paging that `lib` does not know: each page names the record to go on after. */
const ownPages = (method: 'GET' | 'POST') =>
  async function* own({ cursor, since, until, getJson }: Listing): AsyncGenerator<Page> {
    for (let after = cursor; ; ) {
      const page = Object(await getJson({ method, path: '/list' }, { since, until, cursor: after ?? undefined }));
      after = page.meta.next;
      yield { records: page.data.items, cursor: after };
      if (after === null) return;
    }
  };

function listOf({ paging, post, size }: Kind): List {
  const method = post ? 'POST' : 'GET';
  const paged = { path: '/list', method, records: 'data.items', query: windowOf } as const;
  const [next, total] = ['meta.next', 'meta.total'];
  return {
    cursor: () => cursorPages({ ...paged, next, ...(post && { body: (cursor) => ({ cursor }) }) }),
    link: () => linkPages({ path: '/list', method, query: windowOf } as const),
    url: () => urlPages({ ...paged, next: 'meta.url', ...(post && { body: () => ({ size }) }) }),
    offset: () => offsetPages({ ...paged, size, total, ...(post && { body: (at) => at }) }),
    numbered: () => numberedPages({ ...paged, size, ...(post && { body: (at) => at }) }),
    array: () => streamPages({ path: '/list', query: windowOf, format: 'json-array' }),
    ndjson: () => streamPages({ path: '/list', query: windowOf, format: 'ndjson' }),
    own: () => Object.assign(ownPages(method), { style: 'own' }),
  }[paging]();
}

const windowOf = ({ since, until }: { since?: string | undefined; until?: string | undefined }) => ({ since, until });

const settings = v.object({ TARGET_REGION_ID: v.string(), TOKEN_URL: v.string() });
const record = v.object({
  id: v.union([v.number(), v.string()]),
  name: v.pipe(v.string(), v.nonEmpty()),
  updatedAt: instant,
  limit: v.object({ context: v.number(), output: v.number() }),
});
const untimed = v.omit(record, ['updatedAt']);
type Told = v.InferOutput<typeof record>;
type Settled = WriteContext<v.InferOutput<typeof settings>>;

const put = ({ id, ...body }: Told, { TARGET_REGION_ID: region }: Settled['settings']) =>
  ({ method: 'PUT', path: `/v1/regions/${region}/models/${encodeURIComponent(id)}`, body }) as const;

const write = (whole: Told, { settings }: Settled) => put(whole, settings);

async function push(whole: Told, { send, settings }: Push & Settled) {
  const request = put(whole, settings);
  await send({ ...request, body: { ...request.body, half: true } });
  await send(request);
}

/** A target takes ids as text. */
const asText = ({ id, ...body }: Told) => ({ id: String(id), ...body });

/** How a job of a bulk kind writes, removes and lists. */
function bulkTarget({ numbers }: Kind): TargetJob<Told> {
  const many = manyAtOnce({ max: 25 });
  const { list, existing } = listing(true);
  return {
    writeMany: {
      ...(many as unknown as WriteMany<Told>),
      request: (records, context) => many.request(records.map(asText), context),
    },
    remove: remove!,
    list: list!,
    existing(raw) {
      const { id, body } = existing!(raw);
      return { id, body: numbers ? { ...Object(body), id: Number(id) } : body };
    },
  };
}

/** The job of this kind. Its secret is that of the shipped job, and so are its records, but for their ids. */
export function jobOf(kind: Kind): Job<unknown> {
  const updatedAt = ({ updatedAt }: Told) => (kind.numbers ? new Date(updatedAt) : updatedAt);
  const job = defineJob({
    settings,
    secret: v.object({
      source: v.object({ username: v.string(), password: v.string() }),
      target: v.object({ token: v.string() }),
    }),
    ...(kind.bulk ? { record: untimed as unknown as typeof record } : { record, updatedAt }),
    id: ({ id }) => id,
    source: {
      auth: ({ secret, settings }) => authOf(kind.source, secret.source, settings.TOKEN_URL),
      list: listOf(kind),
      one: (id) => (kind.post ? { method: 'POST', path: '/one', body: { id } } : `/one?id=${encodeURIComponent(id)}`),
      oneRecord: 'data.item',
    },
    target: {
      auth: ({ secret, settings }) => authOf(kind.target, writer(secret.target.token), settings.TOKEN_URL),
      ...((kind.bulk ? bulkTarget(kind) : kind.push ? { push } : { write }) as { write: typeof write }),
    },
  });
  return { ...job, name: 'models' } as unknown as Job<unknown>;
}

const writer = (token: string) => ({ username: 'writer', password: token });

interface Listed {
  id: string | number;
  name: string;
  updatedAt: string;
}

/** What a request asks for, in its query or in its body. */
type Wanted = Record<string, string | undefined>;

/**
 * A source of these records that speaks the paging of its kind, which can change at any time, and gives the tokens of both
 * sides.
 */
export async function startSourceOf(options: { kind: Kind; records: unknown[]; credentials: Keys; token: string }) {
  const { token, ...given } = options;
  const state = { ...given, refuse: undefined as DemoSource['refuse'], requests: [] as string[] };
  const served = await serve(async (request, response) => {
    const { kind, credentials } = state;
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://source');
    state.requests.push(request.url ?? '/');
    const sent = await bodyOf(request);
    if (pathname === '/token') return answerToken(request, response, [credentials, writer(token)]);
    if (!admits(kind.source, credentials, request)) return answer(response, 401, { message: 'wrong credentials' });
    const wanted: Wanted = { ...Object.fromEntries(searchParams), ...(sent && JSON.parse(sent)) };
    const records = state.records as Listed[];
    if (pathname !== '/one') return answerList(response, kind, records, wanted);
    const item = records.find(({ id }) => String(id) === wanted.id);
    answer(response, item ? 200 : 404, { data: { item } });
  });
  const admitsWriter = (request: IncomingMessage) => admits(state.kind.target, writer(token), request);
  return Object.assign(state, served, { tokenUrl: `${served.url}/token`, admitsWriter });
}

function answerToken({ headers }: IncomingMessage, response: ServerResponse, clients: Keys[]) {
  const client = Buffer.from(`${headers.authorization}`.replace('Basic ', ''), 'base64').toString();
  const [id = '', secret = ''] = client.split(':').map(decodeURIComponent);
  if (!clients.some(({ username, password }) => username === id && password === secret))
    return answer(response, 401, { error: 'invalid_client' });
  answer(response, 200, { access_token: signature(secret, id), token_type: 'bearer', expires_in: 3600 });
}

function answerList(response: ServerResponse, { paging, size }: Kind, records: Listed[], wanted: Wanted) {
  const { since, until, cursor, offset, page = '1' } = wanted;
  // Offsets and numbers know no window, so that no record moves on them.
  const isAsked = ({ updatedAt }: Listed) =>
    (updatedAt >= (since ?? '') && updatedAt < (until ?? '9')) || paging === 'offset' || paging === 'numbered';
  if (paging === 'array' || paging === 'ndjson') {
    const etag = `"${signature(JSON.stringify(records.map(({ id, name }) => [id, name])))}"`;
    const lines = records.filter(isAsked).map((record) => JSON.stringify(record));
    response.writeHead(200, { etag });
    return void response.end(paging === 'array' ? `[${lines}]` : lines.map((line) => `${line}\n`).join(''));
  }
  const start = Number(cursor ?? offset ?? (Number(page) - 1) * size);
  const items = records.slice(start, start + size).filter(isAsked);
  const next = start + size < records.length ? start + size : null;
  const rest = new URLSearchParams({ ...(since && { since }), ...(until && { until }), cursor: `${next}` });
  const url = next === null ? null : `/list?${rest}`;
  if (paging === 'link') return answer(response, 200, items, url === null ? {} : { link: `<${url}>; rel="next"` });
  // A list of one's own has cursors as text, because `lib` takes no others; elsewhere they are numbers.
  const meta = { next: paging === 'own' && next !== null ? String(next) : next, url, total: records.length };
  answer(response, 200, { data: { items }, meta });
}
