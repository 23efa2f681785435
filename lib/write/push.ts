import { TargetError } from '../errors.ts';
import type { HttpAnswer } from '../http/client.ts';
import { parseJson } from '../http/json.ts';
import { orAborted } from '../time/abort.ts';
import type { TargetRequest } from './target.ts';

/** A 2xx answer of the target, read to its end. */
export interface PushAnswer extends Pick<HttpAnswer, 'status' | 'headers'> {
  /** @throws TargetError where the answer is not JSON */
  json(): unknown;
}

/** What a job that writes a record with several calls is given for one record. */
export interface Push {
  /**
   * One request with everything that belongs to a write: credentials, fencing headers, idempotency key, retries, pace. It
   * must be safe to repeat, because a resumed run pushes the record again.
   * @throws TargetError with the `status` of an answer other than 2xx; whatever else it throws ends the run, even if it is
   * caught.
   */
  send(request: TargetRequest): Promise<PushAnswer>;
  /** Fires when what is in flight has to stop; the push is not waited for then. */
  signal: AbortSignal;
  /** Already in the headers of each request; for a target that wants it elsewhere. */
  fencingToken: string;
  fencingScope: string;
  regionId: string;
}

/** How a job writes a record that one request cannot write. */
export interface PushTarget<R> {
  /**
   * Resolves once the record is written. The calls are made one after the other, so that the bound on writes holds; an
   * error of one that the job does not wait for is lost.
   */
  push(record: R, target: Push): Promise<void>;
}

/**
 * Pushes one record.
 * @throws TargetError for a record that the target or the job's own function could not cope with; else what concerns the run
 */
export async function pushRecord<R>(
  job: PushTarget<R>,
  record: R,
  target: Omit<Push, 'send'> & { send(request: TargetRequest): Promise<HttpAnswer> },
): Promise<void> {
  const { signal } = target;
  /** Aborts with `signal`, and with an error that concerns the run, which the job may have caught. */
  const ended = new AbortController();
  const end = () => ended.abort(signal.reason);
  if (signal.aborted) end();
  signal.addEventListener('abort', end, { once: true });
  /** Whether a call got through in none of its attempts: whatever the job makes of that, the record is not to blame. */
  let unreached = false;
  let calls: Promise<unknown> = Promise.resolve();
  let over = false;

  async function send(request: TargetRequest): Promise<PushAnswer> {
    ended.signal.throwIfAborted();
    if (over) throw new TargetError('the push of this record is over', { refused: true });
    const answer = await target.send(request).catch((error) => {
      if (!(error instanceof TargetError)) ended.abort(error);
      else if (!error.refused) unreached = true;
      throw error;
    });
    return { status: answer.status, headers: answer.headers, json: () => parse(answer.body) };
  }

  const pushed = async () => {
    try {
      await job.push(record, {
        ...target,
        signal: ended.signal,
        // One after the other even where the job does not wait, so that a lane has one request in flight.
        send(request) {
          const call = calls.then(() => send(request));
          calls = call.catch(() => undefined);
          return call;
        },
      });
    } finally {
      // A call that the job has not waited for belongs to the write all the same, also where the push has failed.
      for (let last: unknown; last !== calls; await calls) last = calls;
      over = true;
    }
  };
  try {
    await orAborted(pushed(), ended.signal);
  } catch (cause) {
    ended.signal.throwIfAborted();
    if (cause instanceof TargetError) throw cause;
    throw new TargetError(`the job's push failed: ${(cause as Error)?.name}`, { cause, refused: !unreached });
  } finally {
    signal.removeEventListener('abort', end);
  }
  ended.signal.throwIfAborted();
}

function parse(body: Uint8Array): unknown {
  try {
    return parseJson(body);
  } catch {
    throw new TargetError(`the target's answer of ${body.length} bytes is not JSON in UTF-8`, { refused: true });
  }
}
