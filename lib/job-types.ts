import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { Auth } from './auth.ts';
import type { Shard } from './shard.ts';

/** The headers of an answer, by their names in lower case. */
export type Headers = Record<string, string | string[] | undefined>;

/** The parameters of a request; undefined ones are left out. */
export type Query = Record<string, string | number | boolean | undefined>;

/** A path into JSON (`data.items`, `pageInfo.endCursor`), or a function. */
export type Select<T> = string | ((body: unknown, headers: Headers) => T);

/** A request to the source or to the target. */
export interface Request {
  /** GET where it is left out, which only reading may. */
  method?: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  /** Below SOURCE_URL or TARGET_URL; it goes on the wire as written. */
  path: string;
  query?: Query;
  headers?: Record<string, string>;
  /** Sent as JSON; text, bytes and URLSearchParams go as they are. */
  body?: unknown;
}

/** An answer that was read to its end. */
export interface Answer {
  status: number;
  headers: Headers;
  /** @throws where the body is no JSON */
  json(): unknown;
  text(): string;
}

/** What a job's functions are given: the job's own settings. */
export interface Context<S> {
  settings: S;
}

/** What the functions that write are given as well. */
export interface WriteContext<S> extends Context<S> {
  /** Already in the headers of each request; for a target that wants it elsewhere. */
  fencingToken: string;
  fencingScope: string;
}

/** What a user declares in `functions/jobs/<name>.ts`: what a record is, where it comes from and where it goes. */
export interface JobDefinition<R, S = unknown, X = unknown> {
  /** The job's own settings, by the names of environment variables. */
  settings?: StandardSchemaV1<unknown, S>;
  /** The parts of the secret beside `etcd` and `tls`. */
  secret?: StandardSchemaV1<unknown, X>;
  record: StandardSchemaV1<unknown, R>;
  id(record: R): string | number;
  /** When a record last changed. With it, a tick reads only what changed since the last pass. */
  updatedAt?(record: R): string | Date;
  /** Whether the record is a tombstone: it is removed at the target, with `target.remove`, instead of written. */
  deleted?(record: R): boolean;
  source: SourceJob<S, X>;
  target: TargetJob<R, S, X>;
}

/** A defined job under its name, as the rooms of `lib` know it: ids and times are text. */
export interface Job<R, S = unknown, X = unknown> extends JobDefinition<R, S, X> {
  name: string;
  id(record: R): string;
  updatedAt?(record: R): string;
}

/** How a job reads its source. */
export interface SourceJob<S = unknown, X = unknown> {
  auth?(from: { secret: X; settings: S }): Auth;
  /** Headers of every request. */
  headers?: Record<string, string>;
  list: List;
  /** Whether `list` asks the source for its shard; otherwise each shard reads the whole list and keeps its own records. */
  sharded?: boolean;
  /** How to get a single record. Without it, failed records are read again with their window instead of by id. */
  one?(id: string, context: Context<S>): string | Request;
  /** Where the record is in the answer to `one`; without it, the answer is the record. */
  oneRecord?: Select<unknown>;
  /**
   * Says what an answer means where its status does not: undefined, the status counts; `retry`, try again; `refused`, an
   * error; `empty`, no more records, or no such record.
   */
  check?(answer: Answer): 'retry' | 'refused' | 'empty' | undefined;
}

/** How a job lists records: one of the kinds of paging, or a generator of one's own. */
export interface List {
  (listing: Listing): AsyncIterable<Page>;
  /**
   * Names the kind of cursor, so that a checkpoint recognises its own. The default is the function's name, which bundling
   * may change: a pass under way then starts over.
   */
  style?: string;
}

/** What a listing has to work with. */
export interface Listing extends Window {
  /** Where to begin; null for the first page. */
  cursor: string | null;
  /**
   * Gets a page and returns the JSON of a 2xx answer. A number that JavaScript would alter is none in it: see `exactNumber`. A
   * 204 or 304 ends the list: the call then throws an error that ends `list` without a fault.
   * @throws SourceError on any other answer
   */
  getJson(request: string | Request, query?: Query): Promise<unknown>;
  /** Like `getJson`, with the headers of the answer. */
  getPage(request: string | Request, query?: Query): Promise<{ body: unknown; headers: Headers }>;
  /**
   * Gets a 2xx answer whose body still arrives; the caller disposes of it. `accept` replaces the header of this name.
   * @throws SourceError, its body too
   */
  getStream(request: string | Request, query?: Query, accept?: string): Promise<StreamedAnswer>;
  /** The URL that all paths are below, without a slash at the end. */
  baseUrl: string;
  /**
   * The path and query of a URL that the page at `path` gives, absolute or relative to it. A key in the query is not in it.
   * @throws SourceError where it does not lie below `baseUrl`
   */
  below(url: string, path: string): string;
  /** The job's own settings. */
  settings?: unknown;
}

/** The part of the source's records that a pass reads. */
export interface Window {
  /** Inclusive, in `toISOString()`'s form. */
  since?: string | undefined;
  /** Exclusive, in the same form. */
  until?: string | undefined;
  /** Set where the job runs in shards. */
  shard?: Shard | undefined;
}

/** An answer whose body still arrives. Disposing of it drops the rest. */
export interface StreamedAnswer extends Disposable {
  headers: Headers;
  body: AsyncIterable<Uint8Array>;
}

/** Some records, and where the list goes on. */
export interface Page {
  records: readonly unknown[];
  /** The cursor of the next page; null at the end of the list; undefined for records that are read outside of the list. */
  cursor: string | null | undefined;
  /** How many records were asked for by id and do not exist. */
  missing?: number;
}

/** What became of one record of a bulk write; `retry`: it is sent again without those that were written. */
export type Outcome = 'written' | 'retry' | { refused: string };

/** How a job writes many records with one request. */
export interface WriteMany<R, S = unknown> {
  /** The most records of a request. */
  max: number;
  /** The most bytes of a request's body. */
  maxBytes?: number;
  /**
   * Makes the one idempotent request that writes these records, of which no two have the same id. A pure function, so that the
   * same records are always the same request.
   */
  request(records: R[], context: WriteContext<S>): Request;
  /**
   * Says what became of each record, as many as `records` and in their order, by a 2xx answer, or one that `check` calls
   * written. Without it, all of them are written.
   */
  results?(answer: Answer, records: R[]): Outcome[];
}

/** How a job writes to its target: with one of `write`, `writeMany` and `push`. */
export interface TargetJob<R, S = unknown, X = unknown> {
  auth?(from: { secret: X; settings: S }): Auth;
  /** Headers of every request. */
  headers?: Record<string, string>;
  /**
   * Says what an answer means where its status does not: undefined, the status counts; `written`, the record is there, or is
   * removed; `retry`, try again; `refused`, the record is at fault; `fenced`, a later run has written.
   */
  check?(answer: Answer): 'written' | 'retry' | 'refused' | 'fenced' | undefined;
  /**
   * Makes the one idempotent request that writes a record. A pure function, so that the same record is always the same
   * request.
   */
  write?(record: R, context: WriteContext<S>): Request;
  writeMany?: WriteMany<R, S>;
  /**
   * Writes a record that takes several requests, and resolves once it is written. The calls run one after the other, so that
   * the bound on writes holds. The error of a call that the job does not await is lost.
   */
  push?(record: R, to: Push<S>): Promise<void>;
  /** Makes the request that removes a record. An answer 404 or 410 means that it is not there, so it counts as removed. */
  remove?(id: string, context: WriteContext<S>): Request;
  /** How to list what the target holds. With it, a full pass writes only what differs, and removes what has vanished. */
  list?: List;
  /** Of a record that `list` gives: its id, and the body as `write` would send it; without `write`, the job's record. */
  existing?(raw: unknown): { id: string | number; body: unknown };
}

/** What a push works with, for one record. */
export interface Push<S = unknown> extends WriteContext<S> {
  /**
   * Sends one request with all that belongs to a write: credentials, fencing headers, idempotency key, retries, pace. It
   * must be safe to repeat, because a resumed run pushes the record again.
   * @throws TargetError with the `status` of an answer other than 2xx. Any other error ends the run, even if it is caught.
   */
  send(request: Request): Promise<Answer>;
  /** Aborts when what is in flight must stop; nobody waits for the push from then on. */
  signal: AbortSignal;
}
