import { HttpError, SourceError } from './errors.ts';
import type { Send } from './request.ts';
import type { Secret } from './secrets.ts';
import type { Shard } from './shard.ts';

/** Some records, and the cursor of the page after them; null where there is none. */
export interface Page {
  records: readonly unknown[];
  cursor: string | null;
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

type Query = Record<string, string | number | undefined>;

/** What a listing has to work with. */
export interface Listing extends Window {
  /** Where to begin; null for the first page. */
  cursor: string | null;
  /** Gets `path` and gives the JSON of a 2xx answer. @throws SourceError on any other answer */
  getJson(path: string, query?: Query): Promise<unknown>;
}

/** How a job reads its source. */
export interface SourceJob {
  authorization(credentials: Secret['source']): string;
  list(listing: Listing): AsyncIterable<Page>;
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

/** A job's source, read by `send`. */
export function openSource(job: SourceJob, send: Send): Source {
  let clock: string | undefined;

  async function getJson(path: string): Promise<unknown> {
    const { status, headers, body } = await send({ method: 'GET', path }).catch((cause) => {
      if (cause instanceof HttpError) throw new SourceError(`GET ${path} at the source: ${cause.message}`, { cause });
      throw cause;
    });
    if (status === 404) return undefined;
    if (status < 200 || status > 299) {
      throw new SourceError(`GET ${path} at the source was answered with ${status}`, { status });
    }
    clock ??= instantOf(headers.date);
    return parseJson(path, body);
  }

  return {
    get clock() {
      return clock;
    },
    pages: (window, cursor) =>
      endingPages(
        job.list({
          ...window,
          cursor,
          async getJson(path, query = {}) {
            const target = path + search(query);
            const value = await getJson(target);
            if (value === undefined)
              throw new SourceError(`GET ${target} at the source was answered with 404`, { status: 404 });
            return value;
          },
        }),
      ),
    async one(id) {
      if (!job.one) throw new SourceError('the job does not tell how to read a single record: it has no source.one');
      return getJson(job.one(id));
    },
  };
}

/**
 * Lists a source that answers each page with the cursor of the next one in its body.
 * @param options.query the parameters of a page, without the cursor; undefined ones are left out
 * @param options.records the name of the field that holds the records
 * @param options.next the name of the field that holds the next cursor, or null at the end
 */
export function cursorPages(options: {
  path: string;
  query: (window: Window) => Query;
  records: string;
  next: string;
}): SourceJob['list'] {
  const { path, query, records: recordsField, next: nextField } = options;
  return async function* cursorPages({ since, until, shard, cursor, getJson }) {
    let at = cursor;
    do {
      const body = await getJson(path, { ...query({ since, until, shard }), cursor: at ?? undefined });
      const { [recordsField]: records, [nextField]: next } = Object(body);
      if (!Array.isArray(records)) throw new SourceError(`the page at ${path} has no array "${recordsField}"`);
      if (next !== null && (typeof next !== 'string' || next === '')) {
        throw new SourceError(`the page at ${path} has no cursor "${nextField}" that is a non-empty string or null`);
      }
      yield { records, cursor: next };
      at = next;
    } while (at !== null);
  };
}

/** Ends a listing whose cursors run in a circle: Brent's algorithm, so that it costs one cursor of memory. */
async function* endingPages(pages: AsyncIterable<Page>): AsyncGenerator<Page> {
  let remembered: string | null = null;
  let steps = 0;
  let power = 1;
  for await (const page of pages) {
    if (page.cursor !== null && page.cursor === remembered) {
      throw new SourceError('the source gave a cursor that it had given before, so its list would never end');
    }
    if (++steps === power) {
      remembered = page.cursor;
      steps = 0;
      power *= 2;
    }
    yield page;
  }
}

function parseJson(path: string, body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    // No cause: the parser's message quotes the text.
    throw new SourceError(
      `GET ${path} at the source was answered with ${body.length} bytes that are not JSON in UTF-8`,
    );
  }
}

/** A time in `toISOString()`'s form; undefined where there is none, or none that can be understood. */
export function instantOf(time: string | undefined): string | undefined {
  const ms = Date.parse(time ?? '');
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString();
}

function search(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
  return parameters.size === 0 ? '' : `?${parameters}`;
}
