import { hash } from 'node:crypto';
import { TargetError } from '../errors.ts';
import type { HttpRequest } from '../http/client.ts';
import { lowerCased, onTheWire } from '../http/request.ts';
import { type Agent, userAgent } from '../http/user-agent.ts';
import type { Request, TargetJob, WriteContext } from '../job-types.ts';
import { encodeHeader } from './old-scopes.ts';

/**
 * Makes the HTTP request of a write, with its fencing headers and its idempotency key. `content` is a short hash of the body:
 * the same content of the same record has the same key within a run, so that a target recognises a repetition.
 */
export type MakeRequest<R> = (
  record: R,
  make: () => Request,
  /** What makes it another request of the same record, beside its body. */
  keyed?: string,
) => { request: RecordRequest; content: string };

/** A request, and the record of which no part may be in an error. */
export interface RecordRequest extends HttpRequest {
  record: unknown;
}

/**
 * Prepares `MakeRequest` for one run.
 * @returns a function that throws TargetError where the job's `make` throws or its body is no JSON
 */
export function requestMaker<R>(options: {
  runId: string;
  id: (record: R) => string;
  fence: { token: string; scope: string };
  /** The User-Agent. */
  agent?: Agent | undefined;
  /** The job's own headers of every request. */
  headers?: Record<string, string> | undefined;
}): MakeRequest<R> {
  const { runId, id, fence, agent, headers } = options;
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
      const key = encodeURIComponent(`${runId}:${id(record)}:${content}`);
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
