import { hash } from 'node:crypto';
import { TargetError } from '../errors.ts';
import type { HttpRequest } from '../http/client.ts';
import { userAgent } from '../http/user-agent.ts';
import type { TargetRequest } from '../job.ts';
import { encodeHeader } from './old-scopes.ts';

/**
 * Makes the HTTP request of a write, with its fencing headers and its idempotency key. `content` is a short hash of the body:
 * the same content of the same record has the same key within a run, so that a target recognises a repetition.
 */
export type MakeRequest<R> = (
  record: R,
  make: () => TargetRequest,
  /** What makes it another request of the same record, beside its body. */
  keyed?: string,
) => { request: HttpRequest; content: string };

/**
 * Prepares `MakeRequest` for one run.
 * @returns a function that throws TargetError where the job's `make` throws or its body is no JSON
 */
export function requestMaker<R>(options: {
  runId: string;
  id: (record: R) => string;
  fence: { token: string; scope: string };
  /** Named to the target. */
  jobName?: string | undefined;
}): MakeRequest<R> {
  const { runId, id, fence, jobName } = options;
  const fixedHeaders = {
    accept: 'application/json',
    // To unpack a small answer costs more than it saves.
    'accept-encoding': 'identity',
    'user-agent': userAgent(jobName),
    'content-type': 'application/json',
    'x-fencing-token': fence.token,
    'x-fencing-scope': encodeHeader(fence.scope),
  };
  return (record, make, keyed = '') => {
    try {
      const { method, path, body } = make();
      const json: string | undefined = JSON.stringify(body);
      const content = hash('sha256', keyed + (json ?? '')).slice(0, 16);
      const idempotencyKey = encodeURIComponent(`${runId}:${id(record)}:${content}`);
      const headers = { ...fixedHeaders, 'idempotency-key': idempotencyKey };
      return { request: { method, path, headers, body: json }, content };
    } catch (cause) {
      throw new TargetError('the job could not make a request of the record', { cause, refused: true });
    }
  };
}
