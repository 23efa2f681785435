import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { answer, bodyOf, type Served, serve } from '../serve.ts';
import type { LocalFunction } from './function.ts';

/** A function, and how often an asynchronous event whose invocation has failed is delivered to it again. */
export interface Invocable {
  fn: LocalFunction;
  retries: number;
}

/** Lambda waits for a minute, and then for two. */
const RETRY_PAUSE_MS = 500;

/**
 * Serves Lambda's Invoke API for curl, `aws lambda invoke --endpoint-url` and the functions themselves. Like Lambda, it
 * answers an asynchronous invocation at once, and delivers the event again where that fails.
 * @param functions by name; entries can be added later
 */
export function startInvokeApi(functions: Record<string, Invocable>): Promise<Served> {
  return serve(async (request, response) => {
    const name = /^\/2015-03-31\/functions\/([^/]+)\/invocations$/.exec(request.url ?? '')?.[1];
    const invocable = name === undefined ? undefined : functions[name];
    if (!invocable) return answer(response, 404, { message: `there is no function ${name ?? 'in this path'}` });
    if (request.method !== 'POST') return answer(response, 405, { message: `${name} is invoked by POST` });
    let event: unknown;
    try {
      event = JSON.parse((await bodyOf(request)) || '{}');
    } catch {
      return answer(response, 400, { message: 'the event is not JSON' });
    }
    if (request.headers['x-amz-invocation-type'] === 'Event') {
      // It rejects only if the function has been stopped.
      deliver(invocable, event).catch(() => undefined);
      return answer(response, 202, {});
    }
    const { payload, error } = await invocable.fn.invoke(event);
    answer(response, 200, error ?? payload, error ? { 'x-amz-function-error': 'Unhandled' } : {});
  });
}

async function deliver({ fn, retries }: Invocable, event: unknown): Promise<void> {
  // A step of a detached backfill knows by it that the run in its way may be its own one that was killed.
  const requestId = randomUUID();
  for (let tries = 0; tries <= retries; tries++) {
    if (tries > 0) await sleep(RETRY_PAUSE_MS * tries, undefined, { ref: false });
    if (!(await fn.invoke(event, { requestId })).error) return;
  }
}
