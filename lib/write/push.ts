import { TargetError } from '../errors.ts';
import type { HttpAnswer } from '../http/client.ts';
import { decoded } from '../http/decoding.ts';
import { parseJson } from '../http/json.ts';
import type { Answer, Push, Request, TargetJob } from '../job-types.ts';
import { orAborted } from '../time/abort.ts';

/** The most bytes that a push can see of an answer. */
export const MAX_ANSWER_BYTES = 1024 * 1024;

/**
 * Pushes one record.
 * @param push the job's own function
 * @param call sends one request of the push
 * @throws TargetError for a record that the target or the job's own function could not cope with. Any other error concerns
 * the run.
 */
export async function pushRecord<R>(
  push: NonNullable<TargetJob<R>['push']>,
  record: R,
  target: Omit<Push, 'send'>,
  call: (request: Request) => Promise<HttpAnswer>,
): Promise<void> {
  /**
   * Aborts with the run, and with an error that ends the run, even where the job has caught it. By hand, because a signal of
   * AbortSignal.any() that the job listens to lives as long as the run.
   */
  const ended = new AbortController();
  const { signal } = ended;
  const end = () => ended.abort(target.signal.reason);
  if (target.signal.aborted) end();
  target.signal.addEventListener('abort', end, { once: true });
  /** A call failed in all of its attempts, so the record is not to blame, whatever the job makes of it. */
  let unreached = false;
  /** The last call that the target refused, as long as it has taken none of this record: it may be refusing everybody. */
  let refusal: TargetError | undefined;
  let taken = false;
  let calls: Promise<unknown> = Promise.resolve();
  let over = false;

  async function sendNow(request: Request): Promise<Answer> {
    signal.throwIfAborted();
    if (over) throw new TargetError('the push of this record is over', { refused: true });
    const answer = await call(request).catch((error) => {
      if (!(error instanceof TargetError)) ended.abort(error);
      else if (!error.refused) unreached = true;
      else refusal = error;
      throw error;
    });
    taken = true;
    return { status: answer.status, headers: answer.headers, json: () => parse(answer), text: () => textOf(answer) };
  }

  /** Sends one after the other even where the job does not wait, so that a lane has one request in flight. */
  function send(request: Request): Promise<Answer> {
    const sent = calls.then(() => sendNow(request));
    calls = sent.catch(() => undefined);
    return sent;
  }

  async function pushed() {
    try {
      await push(record, { ...target, signal, send });
    } finally {
      // A call that the job did not await belongs to the write all the same, even where the push has failed.
      for (let last: unknown; last !== calls; await calls) last = calls;
      over = true;
    }
  }

  try {
    await orAborted(pushed(), signal);
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof TargetError) throw cause;
    const { message, status } = (!taken && refusal) || {};
    throw new TargetError(`the job's push failed: ${(cause as Error)?.name}${message ? `: ${message}` : ''}`, {
      ...{ cause, refused: !unreached },
      ...(status !== undefined && { status }),
    });
  } finally {
    target.signal.removeEventListener('abort', end);
  }
  signal.throwIfAborted();
}

function textOf(answer: HttpAnswer): string {
  return Buffer.from(bodyOf(answer)).toString();
}

function parse(answer: HttpAnswer): unknown {
  const body = bodyOf(answer);
  try {
    return parseJson(body);
  } catch {
    throw new TargetError(`the target's answer of ${body.length} bytes is not JSON in UTF-8`, { refused: true });
  }
}

function bodyOf(answer: HttpAnswer): Uint8Array {
  if (answer.dropped) {
    throw new TargetError(`the target's answer is larger than ${MAX_ANSWER_BYTES} bytes`, { refused: true });
  }
  try {
    return decoded(answer, MAX_ANSWER_BYTES);
  } catch (cause) {
    throw new TargetError(`the target's answer: ${(cause as Error).message}`, { cause, refused: true });
  }
}
