import { answer, bodyOf, type Served, serve } from '../serve.ts';
import type { LocalFunction } from './function.ts';

/**
 * Serves Lambda's Invoke API for curl, `aws lambda invoke --endpoint-url` and the functions themselves. Like Lambda, it
 * answers an asynchronous invocation at once; unlike Lambda, it does not retry one that fails.
 * @param functions by name; entries can be added later
 */
export function startInvokeApi(functions: Record<string, LocalFunction>): Promise<Served> {
  return serve(async (request, response) => {
    const name = /^\/2015-03-31\/functions\/([^/]+)\/invocations$/.exec(request.url ?? '')?.[1];
    const fn = name === undefined ? undefined : functions[name];
    if (request.method !== 'POST' || !fn)
      return answer(response, 404, { message: `there is no function ${name ?? 'in this path'}` });
    let event: unknown;
    try {
      event = JSON.parse((await bodyOf(request)) || '{}');
    } catch {
      return answer(response, 400, { message: 'the event is not JSON' });
    }
    const invocation = fn.invoke(event);
    if (request.headers['x-amz-invocation-type'] === 'Event') {
      // It rejects only if the function has been stopped.
      invocation.catch(() => undefined);
      return answer(response, 202, {});
    }
    const { payload, error } = await invocation;
    answer(response, 200, error ?? payload, error ? { 'x-amz-function-error': 'Unhandled' } : {});
  });
}
