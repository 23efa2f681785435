import { hash } from 'node:crypto';
import { HttpError, TargetError } from '../errors.ts';
import type { HttpAnswer } from '../http/client.ts';
import type { Send } from '../http/send.ts';
import { type PushTarget, pushRecord } from './push.ts';

/** One idempotent request that writes one record. */
export interface TargetRequest {
  method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  path: string;
  /** Sent as JSON; nothing is sent where it is undefined. */
  body: unknown;
}

/** How a job writes a record with one request: a pure function, so that the same record is always the same request. */
export interface RequestTarget<R> {
  request(record: R, region: { regionId: string }): TargetRequest;
}

export type TargetJob<R> = RequestTarget<R> | PushTarget<R>;

/** What a target compares to keep an older holder of the lock out. */
export interface Fence {
  token: string;
  /** Tokens are comparable within one scope only, because etcd's revisions are cluster-wide. */
  scope: string;
  /** What a 412 means; asked when there was one. */
  refused(): Promise<Error>;
}

/** Writes what was made ready; called at most once. */
export type Write = () => Promise<unknown>;

/**
 * Makes the function that makes ready to write one record. What that gives resolves once the target has answered 2xx and
 * its answer was read to the end.
 * @throws TargetError, from the write, for a record that the target refuses or that no attempt got through: that record has
 * failed. Everything else a write throws (see `createSend`, and `fence.refused`) concerns the run.
 */
export function openTarget<R>(options: {
  job: TargetJob<R>;
  send: Send;
  regionId: string;
  runId: string;
  id: (record: R) => string;
  fence: Fence;
  /** Fires when what is in flight has to stop. */
  signal: AbortSignal;
}): (record: R) => Write {
  const { job, send, regionId, runId, id, fence, signal } = options;
  const fixedHeaders = {
    'content-type': 'application/json',
    'x-fencing-token': fence.token,
    'x-fencing-scope': encodeHeader(fence.scope),
  };

  async function call(request: Parameters<Send>[0]): Promise<HttpAnswer> {
    let answer: HttpAnswer;
    try {
      answer = await send(request);
    } catch (cause) {
      if (cause instanceof HttpError) throw new TargetError(cause.message, { cause, refused: !cause.transient });
      throw cause;
    }
    const { status } = answer;
    if (status === 412) throw await fence.refused();
    if (status < 200 || status > 299) {
      const refused = status !== 429 && status < 500;
      throw new TargetError(`the target answered ${status}`, { status, refused });
    }
    return answer;
  }

  /** @param keyed what of the request, beside its body, makes it another one of the same record */
  function requestFor(record: R, make: () => TargetRequest, keyed = '') {
    try {
      const { method, path, body } = make();
      const json: string | undefined = JSON.stringify(body);
      const headers = { ...fixedHeaders, 'idempotency-key': idempotencyKey(runId, id(record), keyed + (json ?? '')) };
      return { method, path, headers, body: json };
    } catch (cause) {
      throw new TargetError('the job could not make a request of the record', { cause, refused: true });
    }
  }

  if ('push' in job) {
    const pushing = { regionId, signal, fencingToken: fence.token, fencingScope: fence.scope };
    return (record) => () =>
      pushRecord(job, record, {
        ...pushing,
        send: (request) => call(requestFor(record, () => request, `${request.method} ${request.path}\n`)),
      });
  }
  const region = { regionId };
  return (record) => {
    try {
      const request = requestFor(record, () => job.request(record, region));
      return () => call(request);
    } catch (error) {
      return () => Promise.reject(error);
    }
  };
}

/** The same record with the same content in the same run has the same key, so a target can recognise a repetition. */
const idempotencyKey = (runId: string, id: string, body: string) =>
  encodeURIComponent(`${runId}:${id}:${hash('sha256', body).slice(0, 16)}`);

/** A header holds no more than Latin-1; a lock key of other characters is sent URL-encoded. */
const encodeHeader = (text: string) => (/^[\x21-\x7e]+$/.test(text) ? text : encodeURIComponent(text));
