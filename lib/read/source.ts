import { HttpError, SourceError } from '../errors.ts';
import { createHttp, type HttpAnswer, type HttpStream } from '../http/client.ts';
import { MAX_DEPTH, nestsTooDeep, parseJson } from '../http/json.ts';
import { type Credentials, createSend, type Send } from '../http/send.ts';
import { identityFor, type TlsSecret } from '../http/tls.ts';
import { instantOf } from '../instant.ts';
import type { Page, Query, SourceJob, Window } from '../job.ts';
import type { Guard } from '../time/guard.ts';
import { checkedPages } from './checked-pages.ts';

export interface Source extends AsyncDisposable {
  /** The pages of `window` from `cursor` on; null is the beginning. @throws SourceError */
  pages(window: Window, cursor: string | null): AsyncGenerator<Page>;
  /** The source's own clock at its first answer to `pages`, where the answer had a date. */
  readonly clock: string | undefined;
  /** The record with this id, or undefined where the source knows none. @throws SourceError */
  one(id: string): Promise<unknown>;
}

/** The server of a source, and what the requests to it need. */
export interface SourceServer {
  url: string;
  timeoutMs: number;
  credentials: Credentials<TlsSecret & { source: { username: string; password: string } }>;
  guard: Guard;
  /** Called for each answer 429 or 503. */
  throttled?: (() => void) | undefined;
}

/** The most bytes of one answer, so that a runaway page ends in an error and not in exhausted memory. */
const MAX_PAGE_BYTES = 32 * 1024 * 1024;

/** Opens a job's source. Disposing of it ends its connections. */
export function openSource(job: SourceJob, server: SourceServer): Source {
  const { url: baseUrl, timeoutMs, credentials, guard, throttled } = server;
  const identity = identityFor('source', baseUrl, credentials.current());
  const http = createHttp(baseUrl, { timeoutMs, maxBytes: MAX_PAGE_BYTES, signal: guard.signal, identity });
  const authorization = (secret: { source: { username: string; password: string } }) =>
    job.authorization(secret.source);
  const asking = { name: 'source', credentials, authorization, guard, throttled };
  const send = createSend({ ...asking, http });
  const stream = createSend({ ...asking, http: { send: http.stream } });
  let clock: string | undefined;

  async function get<A extends HttpAnswer | HttpStream>(path: string, ask: Send<A>): Promise<A> {
    const answer = await ask({ method: 'GET', path }).catch((cause) => fail(path, cause));
    if (answer.status < 200 || answer.status > 299) {
      throw new SourceError(`GET ${path} at the source was answered with ${answer.status}`, { status: answer.status });
    }
    clock ??= instantOf(answer.headers.date);
    return answer;
  }

  async function getPage(path: string, query: Query = {}) {
    const target = withQuery(path, query);
    const { headers, body } = await get(target, send);
    return { headers, body: parsePage(target, body) };
  }

  const getJson = async (path: string, query?: Query) => (await getPage(path, query)).body;

  async function getStream(path: string, query: Query = {}) {
    const target = withQuery(path, query);
    const answer = await get(target, stream);
    return { ...answer, body: arriving(target, answer.body) };
  }

  return {
    get clock() {
      return clock;
    },
    pages(window, cursor) {
      const { since, until, shard } = window;
      const listing = { since, until, shard, cursor, getJson, getPage, getStream, baseUrl };
      return checkedPages(job.list(listing));
    },
    async one(id) {
      const path = pathOf(job, id);
      try {
        return await getJson(path);
      } catch (error) {
        if (error instanceof SourceError && (error.status === 404 || error.status === 410)) return undefined;
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}

function pathOf(job: SourceJob, id: string): string {
  if (!job.one) throw new SourceError('the job cannot read a single record: it has no source.one');
  try {
    return job.one(id);
  } catch (cause) {
    throw new SourceError(`source.one of the job made no path of ${JSON.stringify(id)}: ${cause}`, { cause });
  }
}

/** @throws what `cause` means to a reader of the source */
function fail(path: string, cause: unknown): never {
  if (cause instanceof HttpError) throw new SourceError(`GET ${path} at the source: ${cause.message}`, { cause });
  throw cause;
}

async function* arriving(path: string, body: AsyncIterable<Uint8Array>) {
  try {
    yield* body;
  } catch (cause) {
    fail(path, cause);
  }
}

function parsePage(path: string, body: Uint8Array): unknown {
  if (nestsTooDeep(body))
    throw new SourceError(`GET ${path} at the source: the JSON nests deeper than ${MAX_DEPTH} levels`);
  try {
    return parseJson(body);
  } catch {
    throw new SourceError(
      `GET ${path} at the source was answered with ${body.length} bytes that are not JSON in UTF-8`,
    );
  }
}

/** Adds parameters to `path`, which may have a query of its own. */
function withQuery(path: string, query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
  if (parameters.size === 0) return path;
  return `${path}${path.includes('?') ? '&' : '?'}${parameters}`;
}
