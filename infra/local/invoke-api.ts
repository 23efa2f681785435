import type { LocalFunction } from './runtime.ts';
import { answer, bodyOf, type Served, serve } from './serve.ts';

/** Serves Lambda's Invoke API, synchronous invocations only, for curl and `aws lambda invoke --endpoint-url`. */
export function startInvokeApi(functions: Record<string, LocalFunction>): Promise<Served> {
  return serve(async (request, response) => {
    const name = /^\/2015-03-31\/functions\/([^/]+)\/invocations$/.exec(request.url ?? '')?.[1];
    const fn = name === undefined ? undefined : functions[name];
    if (request.method !== 'POST' || !fn) return answer(response, 404, { message: `no function ${name ?? 'here'}` });
    let event: unknown;
    try {
      event = JSON.parse((await bodyOf(request)) || '{}');
    } catch {
      return answer(response, 400, { message: 'the event is not JSON' });
    }
    const { payload, error } = await fn.invoke(event);
    answer(response, 200, error ?? payload, error ? { 'x-amz-function-error': 'Unhandled' } : {});
  });
}
