import type { IncomingHttpHeaders } from 'node:http';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { Shard } from './shard.ts';

export { exactNumber } from './exact-number.ts';
export type { ExactNumber } from './inexact-number.ts';

/** What a user declares in `functions/job.ts`: what a record is, where it comes from and where it goes. */
export interface Job<R> {
  name: string;
  record: StandardSchemaV1<unknown, R>;
  id(record: R): string;
  /** When a record last changed, ISO 8601 with a zone. With it, a tick reads only what changed since the last pass. */
  updatedAt?(record: R): string;
  source: SourceJob;
  target: TargetJob<R>;
}

/** How a job reads its source. */
export interface SourceJob {
  /** The value of the `Authorization` header. */
  authorization(credentials: { username: string; password: string }): string;
  list: List;
  /** Whether `list` asks the source for its shard; otherwise each shard reads the whole list and keeps its own records. */
  sharded?: boolean;
  /** The path of a single record. Without it, failed records are read again with their window instead of by id. */
  one?(id: string): string;
}

/** How a job lists records. */
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
   * Gets `path` and returns the JSON of a 2xx answer. A number that JavaScript would alter is none in it: see `exactNumber`. A
   * 204 or 304 ends the list: the call then throws an error that ends `list` without a fault.
   * @throws SourceError on any other answer
   */
  getJson(path: string, query?: Query): Promise<unknown>;
  /** Like `getJson`, with the headers of the answer. */
  getPage(path: string, query?: Query): Promise<{ body: unknown; headers: IncomingHttpHeaders }>;
  /**
   * Gets `path` and returns a 2xx answer whose body still arrives; the caller disposes of it. `accept` replaces the header of
   * this name. @throws SourceError, its body too
   */
  getStream(path: string, query?: Query, accept?: string): Promise<StreamedAnswer>;
  /** The URL that all paths are below, without a slash at the end. */
  baseUrl: string;
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

/** The parameters of a request; undefined ones are left out. */
export type Query = Record<string, string | number | undefined>;

/** An answer whose body still arrives. Disposing of it drops the rest. */
export interface StreamedAnswer extends Disposable {
  headers: IncomingHttpHeaders;
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

export type TargetJob<R> = RequestTarget<R> | PushTarget<R>;

/** Writes a record with one request. A pure function, so that the same record is always the same request. */
export interface RequestTarget<R> {
  request(record: R, region: { regionId: string }): TargetRequest;
}

/** One idempotent request. */
export interface TargetRequest {
  method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  path: string;
  /** Sent as JSON; undefined sends no body. */
  body: unknown;
}

/** Writes a record that takes several requests. */
export interface PushTarget<R> {
  /**
   * Resolves once the record is written. The calls run one after the other, so that the bound on writes holds. The error of
   * a call that the job does not await is lost.
   */
  push(record: R, target: Push): Promise<void>;
}

/** What a push works with, for one record. */
export interface Push {
  /**
   * Sends one request with all that belongs to a write: credentials, fencing headers, idempotency key, retries, pace. It
   * must be safe to repeat, because a resumed run pushes the record again.
   * @throws TargetError with the `status` of an answer other than 2xx. Any other error ends the run, even if it is caught.
   */
  send(request: TargetRequest): Promise<PushAnswer>;
  /** Aborts when what is in flight must stop; nobody waits for the push from then on. */
  signal: AbortSignal;
  /** Already in the headers of each request; for a target that wants it elsewhere. */
  fencingToken: string;
  fencingScope: string;
  regionId: string;
}

/** A 2xx answer of the target, read to its end. */
export interface PushAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  /** @throws TargetError where the answer is not JSON */
  json(): unknown;
}
