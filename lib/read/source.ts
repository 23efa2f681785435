import type { IncomingHttpHeaders } from 'node:http';
import { HttpError, SourceError } from '../errors.ts';
import type { HttpAnswer, HttpStream } from '../http/client.ts';
import { MAX_DEPTH, nestsTooDeep, parseJson } from '../http/json.ts';
import type { Send } from '../http/send.ts';
import type { Secret } from '../settings/secrets.ts';
import type { Shard } from '../shard.ts';
import { instantOf } from '../time/instant.ts';
import { checkedPages } from './checked-pages.ts';

/** Some records, and the cursor of the page after them; null where there is none. */
export interface Page {
  records: readonly unknown[];
  /** Undefined for records from outside of the list: where the list goes on is another page's to say. */
  cursor: string | null | undefined;
  /** How many records were asked for by id and do not exist. */
  missing?: number;
}

export interface Window {
  /** Inclusive, in `toISOString()`'s form. */
  since?: string | undefined;
  /** Exclusive, in the same form. */
  until?: string | undefined;
  /** The part that is wanted, where the job runs in shards and its source can be asked for one. */
  shard?: Shard | undefined;
}

/** The parameters of a request; undefined ones are left out. */
export type Query = Record<string, string | number | undefined>;

/** What a listing has to work with. */
export interface Listing extends Window {
  /** Where to begin; null for the first page. */
  cursor: string | null;
  /** Gets `path` and gives the JSON of a 2xx answer. @throws SourceError on any other answer */
  getJson(path: string, query?: Query): Promise<unknown>;
  /** As `getJson`, with the headers of the answer. */
  getPage(path: string, query?: Query): Promise<{ body: unknown; headers: IncomingHttpHeaders }>;
  /** Gets `path` and gives a 2xx answer whose body is still arriving, to be disposed of. @throws SourceError, its body too */
  getStream(path: string, query?: Query): Promise<HttpStream>;
  /** The URL that all paths are below, without a slash at the end. */
  baseUrl: string;
}

/** How a job lists records. */
export interface List {
  (listing: Listing): AsyncIterable<Page>;
  /**
   * What its cursors are, for a checkpoint that may meet another one; without it the name of the function, which bundling may
   * change: a pass that is under way then starts over.
   */
  style?: string;
}

/** How a job reads its source. */
export interface SourceJob {
  authorization(credentials: Secret['source']): string;
  list: List;
  /** Whether `list` asks the source for the shard; otherwise each shard reads the list and keeps its own records. */
  sharded?: boolean;
  /** The path of a single record. Without it, records that failed are read again with their window, not by id. */
  one?(id: string): string;
}

export interface Source {
  pages(window: Window, cursor: string | null): AsyncIterable<Page>;
  /** The source's own clock at its first answer to `pages`, where it told. */
  readonly clock: string | undefined;
  /** The record with this id, or undefined where the source knows none. @throws SourceError */
  one(id: string): Promise<unknown>;
}

/** The bytes that one answer of the source may have, so that a runaway page ends in an error and not in an exhausted memory. */
export const MAX_PAGE_BYTES = 32 * 1024 * 1024;

export const basicAuth = (username: string, password: string) =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

/** What answers for a source. */
interface SourceServer {
  baseUrl: string;
  send: Send;
  stream: Send<HttpStream>;
}

/** A job's source, read from `server`. */
export function openSource(job: SourceJob, { baseUrl, send, stream }: SourceServer): Source {
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
    return { headers, body: pageOf(target, body) };
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
    pages: (window, cursor) => checkedPages(job.list({ ...window, cursor, getJson, getPage, getStream, baseUrl })),
    async one(id) {
      if (!job.one) throw new SourceError('the job does not tell how to read a single record: it has no source.one');
      let path: string;
      try {
        path = job.one(id);
      } catch (cause) {
        throw new SourceError(`source.one of the job made no path of ${JSON.stringify(id)}: ${cause}`, { cause });
      }
      try {
        return await getJson(path);
      } catch (error) {
        if (error instanceof SourceError && error.status === 404) return undefined;
        throw error;
      }
    },
  };
}

/** @throws what `cause` is to those who read the source */
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

function pageOf(path: string, body: Uint8Array): unknown {
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

/** `path`, which may have a query of its own, with these parameters. */
function withQuery(path: string, query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
  if (parameters.size === 0) return path;
  return `${path}${path.includes('?') ? '&' : '?'}${parameters}`;
}
