import type { OwnPart } from '../authorized.ts';
import { SourceError } from '../errors.ts';
import { createHttp, type HttpRequest } from '../http/client.ts';
import { ACCEPT_ENCODING } from '../http/decoding.ts';
import { createPace } from '../http/pace.ts';
import { lowerCased, onTheWire, withQuery } from '../http/request.ts';
import { type Credentials, createSend, type Send } from '../http/send.ts';
import { signing } from '../http/signing.ts';
import type { Head } from '../http/throttling.ts';
import { identityFor, type TlsSecret } from '../http/tls.ts';
import { type Agent, userAgent } from '../http/user-agent.ts';
import { instantOf } from '../instant.ts';
import type { Answer, Page, Query, Request, SourceJob, Window } from '../job-types.ts';
import type { Guard } from '../time/guard.ts';
import { pathBelow } from './below.ts';
import { checkedPages, EndOfList } from './checked-pages.ts';
import { type BegunStream, beginStream, isSuccess, MAX_PAGE_BYTES, readJson } from './page-answer.ts';
import { arriving, fail, refusal } from './refusal.ts';
import { select, valueAt } from './select.ts';

export interface Source extends AsyncDisposable {
  /** The pages of `window` from `cursor` on; null is the beginning. @throws SourceError */
  pages(window: Window, cursor: string | null): AsyncGenerator<Page>;
  /** The source's own clock at its first answer to `pages`, where the answer had a date. */
  readonly clock: string | undefined;
  /** The record with this id, or undefined where the source knows none. @throws SourceError */
  one(id: string): Promise<unknown>;
}

/** The server of a list, and what the requests to it need. */
export interface SourceServer {
  url: string;
  timeoutMs: number;
  credentials: Credentials<TlsSecret & OwnPart>;
  /** The job's own settings. */
  settings?: unknown;
  guard: Guard;
  /** The User-Agent. */
  agent?: Agent;
  /** The most requests that start within a second; undefined sets no limit. */
  perSecond?: number | undefined;
  /** Called for each answer that throttles, and for each 503. */
  throttled?: (() => void) | undefined;
}

/** More than any listing of ours reads side by side. */
const MAX_REQUESTS = 50;

/**
 * Opens a job's source. Disposing of it ends its connections.
 * @param name the server, in settings, in the secret and in errors: the target can be listed like a source
 */
export function openSource(job: SourceJob, server: SourceServer, name: 'source' | 'target' = 'source'): Source {
  const { url: baseUrl, timeoutMs, credentials, settings, guard, agent, perSecond, throttled } = server;
  const identity = identityFor(name, baseUrl, credentials.current());
  const http = createHttp(baseUrl, { timeoutMs, maxBytes: MAX_PAGE_BYTES, signal: guard.signal, identity });
  const fixedHeaders = {
    accept: 'application/json',
    'accept-encoding': ACCEPT_ENCODING,
    'user-agent': userAgent(agent),
    ...lowerCased(job.headers),
  };
  const pace = createPace({ concurrency: MAX_REQUESTS, perSecond });
  const signer = signing(job, { name, baseUrl, timeoutMs, guard, identity, agent, throttled }, settings);
  const asking = { name, credentials, signer, guard, pace, throttled };
  const check = job.check && ((answer: Answer) => job.check?.(answer));
  const json = { send: async (request: HttpRequest) => readJson(await http.send(request), check) };
  // The list has no other page to go on with meanwhile. A single record has, so a throttling of it alone is its own.
  const sendForPage = createSend({ ...asking, http: json, patient: true });
  const sendForOne = createSend({ ...asking, http: json });
  const sendForStream = createSend({
    ...asking,
    http: { send: async (request: HttpRequest) => beginStream(await http.stream(request), check) },
    patient: true,
  });
  let clock: string | undefined;
  const nameOf = ({ method = 'GET', path }: Request) => `${method} ${path} at the ${name}`;

  async function get<A extends Head>(request: Request, send: Send<A>, headers = fixedHeaders): Promise<A> {
    const asked = nameOf(request);
    const answer = await send(onTheWire(request, headers)).catch((cause) => fail(asked, cause));
    const { status, verdict } = answer;
    if (verdict ? verdict !== 'empty' : !isSuccess(status) && status !== 304)
      throw refusal(asked, answer, credentials.current());
    clock ??= instantOf(answer.headers.date);
    return answer;
  }

  /** The same for a part of the list. */
  async function getListed<A extends Head>(...asked: Parameters<typeof get<A>>): Promise<A> {
    const answer = await get(...asked);
    if (answer.verdict === 'empty' || answer.status === 204 || answer.status === 304) throw new EndOfList();
    return answer;
  }

  async function getPage(asked: string | Request, query?: Query) {
    const { headers, json } = await getListed(requestOf(asked, query), sendForPage);
    return { headers, body: json };
  }

  const getJson = async (asked: string | Request, query?: Query) => (await getPage(asked, query)).body;

  async function getStream(asked: string | Request, query?: Query, accept?: string) {
    const request = requestOf(asked, query);
    const headers = accept === undefined ? fixedHeaders : { ...fixedHeaders, accept };
    const ask = () => getListed<BegunStream>(request, sendForStream, headers);
    let answer = await ask();
    if (answer.empty) {
      // A gateway may have sent it. The second time it is believed, because a stream of no lines is a list of no records.
      answer[Symbol.dispose]();
      answer = await ask();
    }
    return { ...answer, body: arriving(nameOf(request), answer.body) };
  }

  /** A server may repeat the key of our request in the URL of the next one. */
  const below = (url: string, path: string) =>
    withoutParameter(pathBelow({ name, baseUrl }, path, url), signer(credentials.current()).queryName);

  return {
    get clock() {
      return clock;
    },
    pages(window, cursor) {
      const { since, until, shard } = window;
      const listing = { since, until, shard, cursor, getJson, getPage, getStream, baseUrl, below, settings };
      return checkedPages(job.list(listing), name, cursor);
    },
    async one(id) {
      const request = requestForOne(job, id, settings);
      try {
        const { status, json, verdict } = await get(request, sendForOne);
        if (verdict === 'empty') return undefined;
        if (json !== undefined) return recordIn(json, job.oneRecord, nameOf(request));
        throw new SourceError(`${nameOf(request)} was answered with ${status}`, { status });
      } catch (error) {
        if (error instanceof SourceError && (error.status === 404 || error.status === 410)) return undefined;
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}

function withoutParameter(path: string, name: string | undefined): string {
  const start = path.indexOf('?');
  if (name === undefined || start < 0) return path;
  const before = path.slice(0, start);
  const kept = path
    .slice(start + 1)
    .split('&')
    .filter((parameter) => new URLSearchParams(parameter).get(name) === null);
  return kept.length > 0 ? `${before}?${kept.join('&')}` : before;
}

/** What is asked for, with all of its query in the path, so that errors name it. */
function requestOf(asked: string | Request, more?: Query): Request {
  const { query, ...request } = typeof asked === 'string' ? { path: asked } : asked;
  return { ...request, path: withQuery(request.path, { ...query, ...more }) };
}

function requestForOne(job: SourceJob, id: string, settings: unknown): Request {
  if (!job.one) throw new SourceError('the job cannot read a single record: it has no source.one');
  try {
    return requestOf(job.one(id, { settings }));
  } catch (cause) {
    throw new SourceError(`source.one of the job made no request of ${JSON.stringify(id)}: ${cause}`, { cause });
  }
}

/**
 * The record in the answer to `one`; undefined where that is null, or an element that its list does not have.
 * @throws SourceError where the path leads nowhere
 */
function recordIn(json: unknown, selector: SourceJob['oneRecord'], name: string): unknown {
  if (selector === undefined) return json ?? undefined;
  const found = select(selector, 'oneRecord', { body: json, headers: {}, path: name });
  if (found !== undefined || typeof selector === 'function') return found ?? undefined;
  if (/^\d+$/.test(selector) && Array.isArray(json)) return undefined;
  const list = /^(.+)\.\d+$/.exec(selector)?.[1];
  if (list !== undefined && Array.isArray(valueAt(json, list))) return undefined;
  throw new SourceError(`${name} was answered without "${selector}"`);
}
