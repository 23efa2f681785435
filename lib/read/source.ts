import { HttpError, SourceError } from '../errors.ts';
import { createHttp, type HttpRequest } from '../http/client.ts';
import { ACCEPT_ENCODING } from '../http/decoding.ts';
import { createPace } from '../http/pace.ts';
import { type Credentials, createSend, type Send } from '../http/send.ts';
import type { Head } from '../http/throttling.ts';
import { identityFor, type TlsSecret } from '../http/tls.ts';
import { userAgent } from '../http/user-agent.ts';
import { instantOf } from '../instant.ts';
import type { Page, Query, SourceJob, Window } from '../job.ts';
import type { Guard } from '../time/guard.ts';
import { checkedPages, EndOfList } from './checked-pages.ts';
import { type BegunStream, beginStream, GarbledAnswer, isSuccess, MAX_PAGE_BYTES, readJson } from './page-answer.ts';

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
  /** Named to the source. */
  jobName?: string;
  /** Called for each answer that throttles, and for each 503. */
  throttled?: (() => void) | undefined;
}

/** More than any listing of ours reads side by side. */
const MAX_REQUESTS = 50;

/** Opens a job's source. Disposing of it ends its connections. */
export function openSource(job: SourceJob, server: SourceServer): Source {
  const { url: baseUrl, timeoutMs, credentials, guard, jobName, throttled } = server;
  const identity = identityFor('source', baseUrl, credentials.current());
  const http = createHttp(baseUrl, { timeoutMs, maxBytes: MAX_PAGE_BYTES, signal: guard.signal, identity });
  const authorization = (secret: { source: { username: string; password: string } }) =>
    job.authorization(secret.source);
  const headers = { accept: 'application/json', 'accept-encoding': ACCEPT_ENCODING, 'user-agent': userAgent(jobName) };
  const pace = createPace({ concurrency: MAX_REQUESTS });
  const asking = { name: 'source', credentials, authorization, guard, pace, throttled };
  const json = { send: async (request: HttpRequest) => readJson(await http.send(request)) };
  // The list has no other page to go on with meanwhile. A single record has, so a throttling of it alone is its own.
  const sendForPage = createSend({ ...asking, http: json, patient: true });
  const sendForOne = createSend({ ...asking, http: json });
  const sendForStream = createSend({
    ...asking,
    http: { send: async (request: HttpRequest) => beginStream(await http.stream(request)) },
    patient: true,
  });
  let clock: string | undefined;

  async function get<A extends Head>(path: string, send: Send<A>, accept?: string): Promise<A> {
    const asked = accept === undefined ? headers : { ...headers, accept };
    const answer = await send({ method: 'GET', path, headers: asked }).catch((cause) => fail(path, cause));
    const { status } = answer;
    if (!isSuccess(status) && status !== 304) {
      throw new SourceError(`GET ${path} at the source was answered with ${status}`, { status });
    }
    clock ??= instantOf(answer.headers.date);
    return answer;
  }

  /** The same for a part of the list. */
  async function getListed<A extends Head>(...asked: Parameters<typeof get<A>>): Promise<A> {
    const answer = await get(...asked);
    if (answer.status === 204 || answer.status === 304) throw new EndOfList();
    return answer;
  }

  async function getPage(path: string, query: Query = {}) {
    const { headers, json } = await getListed(withQuery(path, query), sendForPage);
    return { headers, body: json };
  }

  const getJson = async (path: string, query?: Query) => (await getPage(path, query)).body;

  async function getStream(path: string, query: Query = {}, accept?: string) {
    const target = withQuery(path, query);
    const ask = () => getListed<BegunStream>(target, sendForStream, accept);
    let answer = await ask();
    if (answer.empty) {
      // A gateway may have sent it. The second time it is believed, because a stream of no lines is a list of no records.
      answer[Symbol.dispose]();
      answer = await ask();
    }
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
        const { status, json } = await get(path, sendForOne);
        if (json !== undefined) return json;
        throw new SourceError(`GET ${path} at the source was answered with ${status}`, { status });
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
  if (cause instanceof GarbledAnswer) throw new SourceError(`GET ${path} at the source: ${cause.message}`);
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

/** Adds parameters to `path`, which may have a query of its own. */
function withQuery(path: string, query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
  if (parameters.size === 0) return path;
  return `${path}${path.includes('?') ? '&' : '?'}${parameters}`;
}
