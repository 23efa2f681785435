import { hash } from 'node:crypto';
import { TargetError } from '../errors.ts';
import type { HttpRequest } from '../http/client.ts';
import { lowerCased, onTheWire, withQuery } from '../http/request.ts';
import { type Agent, userAgent } from '../http/user-agent.ts';
import type { Request, TargetJob, WriteContext } from '../job-types.ts';
import { encodeHeader } from './old-scopes.ts';

/**
 * Makes the HTTP request of a write, with its fencing headers and its idempotency key. `content` is a short hash of the body:
 * the same version of the same record has the same key within a pass, so that a target recognises a repetition.
 */
export type MakeRequest<R> = (
  record: R,
  make: () => Request,
  /** What makes it another request of the same record, beside its body. */
  keyed?: string,
) => { request: RecordRequest; content: string };

/** A request, and the record of which no part may be in an error. */
export interface RecordRequest extends HttpRequest {
  headers: Record<string, string>;
  record: unknown;
}

/**
 * Prepares `MakeRequest` for a pass.
 * @returns a function that throws TargetError where the job's `make` throws or its body is no JSON
 */
export function requestMaker<R>(options: {
  /** The name of the pass. */
  passName: () => string;
  id: (record: R) => string;
  updatedAtMs?: ((record: R) => number | undefined) | undefined;
  fence: { token: string; scope: string };
  /** The User-Agent. */
  agent?: Agent | undefined;
  /** The job's own headers of every request. */
  headers?: Record<string, string> | undefined;
}): MakeRequest<R> {
  const { passName, id, updatedAtMs, fence, agent, headers } = options;
  const fixedHeaders = {
    accept: 'application/json',
    // To unpack a small answer costs more than it saves.
    'accept-encoding': 'identity',
    'user-agent': userAgent(agent),
    ...lowerCased(headers),
  };
  const fenceHeaders = { 'x-fencing-token': fence.token, 'x-fencing-scope': encodeHeader(fence.scope) };
  return (record, make, keyed = '') => {
    try {
      const request = make();
      const wire = onTheWire(request, fixedHeaders);
      // A record may be in the query instead of the body.
      const place = request.body === undefined || request.query ? `${wire.method} ${wire.path}\n` : '';
      const content = contentOf(keyed || place, wire.body);
      const atMs = updatedAtMs?.(record);
      const version = atMs === undefined ? content : `${content}:${atMs}`;
      const key = encodeURIComponent(`${passName()}:${id(record)}:${version}`);
      // Last, so that no job replaces them.
      Object.assign(wire.headers, fenceHeaders, { 'idempotency-key': key });
      return { request: Object.assign(wire, { record }), content };
    } catch (cause) {
      throw unmade(cause);
    }
  };
}

/** The error for a record of which the job could make no request. */
export const unmade = (cause: unknown) =>
  new TargetError('the job could not make a request of the record', { cause, refused: true });

/**
 * Numbers the key of a record that has changed so often within the pass, because it may have become again what it was: a target
 * that remembers keys would not write it.
 */
export function numbered(request: RecordRequest, changes: number): RecordRequest {
  if (changes > 0) request.headers['idempotency-key'] += `%3A${changes}`;
  return request;
}

/** A short hash of a record whose requests are not known before; what is no JSON but for its bigints is always the same. */
export function contentOfRecord(record: unknown): string {
  for (const replacer of [undefined, bigIntAsText]) {
    try {
      return contentOf('', JSON.stringify(record, replacer));
    } catch {}
  }
  return '0';
}

const bigIntAsText = (_: string, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value);

/** Where a request goes, for a key that the body alone does not make. */
export const placeOf = ({ method, path, query }: Request) => `${method} ${withQuery(path, query)}\n`;

const contentOf = (place: string, body: string | Uint8Array = '') =>
  (typeof body === 'string'
    ? hash('sha256', place + body)
    : hash('sha256', Buffer.concat([Buffer.from(place), body]))
  ).slice(0, 16);

/** The request that the job makes of a record. @throws where it makes none */
export function writeOf<R>(job: TargetJob<R>, record: R, context: WriteContext<unknown>): Request {
  if (!job.write) throw new TypeError('the job has no target.write');
  return withMethod('target.write', job.write(record, context));
}

/** The request that the function `name` of a job has made. @throws TypeError where it says no method */
export function withMethod(name: string, request: Request): Request {
  if (request.method === undefined) throw new TypeError(`${name} of the job gave a request without a method`);
  return request;
}
