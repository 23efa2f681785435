import { answer, type Served, serve } from '../serve.ts';

export interface DemoSource extends Served {
  /** Can change at any time; cursors are positions in this list. */
  records: unknown[];
  /** Can change at any time. */
  credentials: { username: string; password: string };
  /** Returns the status to refuse a path with, or undefined to serve it. Can change at any time. */
  refuse: ((path: string) => number | undefined) | undefined;
  /** The path and query of every request, refused ones included. */
  requests: string[];
}

const MAX_LIMIT = 1000;

/**
 * The demo source API: `GET /v1/models` in pages and `GET /v1/models/{id}`, both with Basic auth. It serves records that are
 * not valid models as well, so that tests can show how a job copes with them.
 */
export async function startSource(options: {
  records: unknown[];
  credentials: { username: string; password: string };
  /** The most records in a page, whatever limit a client asks for. */
  pageSize?: number;
}): Promise<DemoSource> {
  const { pageSize = MAX_LIMIT, ...given } = options;
  const state = { ...given, refuse: undefined as DemoSource['refuse'], requests: [] as string[] };
  const served = await serve((request, response) => {
    const path = request.url ?? '/';
    state.requests.push(path);
    const { username, password } = state.credentials;
    const expected = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    if (request.headers.authorization !== expected) {
      return answer(response, 401, { message: 'wrong credentials' }, { 'www-authenticate': 'Basic realm="models"' });
    }
    const status = state.refuse?.(path);
    if (status !== undefined) return answer(response, status, { message: 'refused for a test' });
    if (request.method !== 'GET') return answer(response, 405, { message: 'this API only knows GET' });
    const { pathname, searchParams } = new URL(path, 'http://source');
    if (pathname === '/v1/models') {
      const page = pageOf(state.records, searchParams, pageSize);
      return answer(response, page ? 200 : 400, page ?? { message: 'malformed query' });
    }
    const id = /^\/v1\/models\/([^/]+)$/.exec(pathname)?.[1];
    const record = id && state.records.find((candidate) => field(candidate, 'id') === decodeURIComponent(id));
    answer(response, record ? 200 : 404, record || { message: 'not found' });
  });
  return Object.assign(state, served);
}

function pageOf(records: unknown[], query: URLSearchParams, pageSize: number) {
  const limit = Number(query.get('limit') || 100);
  const since = Date.parse(query.get('updated_since') || '0000-01-01');
  const until = Date.parse(query.get('updated_until') || '9999-01-01');
  // The cursor is a position in the list, encoded so that no client calculates with it.
  const cursor = query.get('cursor');
  const start = cursor ? Number(/^at:(\d+)$/.exec(Buffer.from(cursor, 'base64url').toString())?.[1]) : 0;
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT || Number.isNaN(since + until + start))
    return undefined;

  const models: unknown[] = [];
  let next = start;
  while (next < records.length && models.length < Math.min(limit, pageSize)) {
    const record = records[next++];
    const updatedAt = Date.parse(String(field(record, 'updatedAt')));
    // A record without a valid date is in no window and in every one; it is served, so that the job refuses it.
    if (Number.isNaN(updatedAt) || (since <= updatedAt && updatedAt < until)) models.push(record);
  }
  return { models, nextCursor: next < records.length ? Buffer.from(`at:${next}`).toString('base64url') : null };
}

function field(record: unknown, name: string): unknown {
  return (record as Record<string, unknown> | null)?.[name];
}
