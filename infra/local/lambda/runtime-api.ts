import type { ServerResponse } from 'node:http';
import { answer, bodyOf, serve } from '../serve.ts';

export interface FunctionError {
  errorType: string;
  errorMessage: string;
  trace?: string[];
}

export type Outcome = { payload: unknown } | { error: FunctionError };

export interface Invocation {
  requestId: string;
  headers: Record<string, string>;
  event: unknown;
}

/** Lambda's Runtime API for one process. */
export interface RuntimeApi extends AsyncDisposable {
  /** `127.0.0.1:<port>`, for AWS_LAMBDA_RUNTIME_API. */
  host: string;
  /** Resolves once the process asks for an event, so its code is loaded; or with the error of loading it. */
  loaded(): Promise<Outcome | undefined>;
  /** Hands over the event and resolves with the answer. Never resolves if the process ends before it answers. */
  send(invocation: Invocation): Promise<Outcome>;
}

export async function startRuntimeApi(): Promise<RuntimeApi> {
  let asking = Promise.withResolvers<ServerResponse>();
  const initFailed = Promise.withResolvers<Outcome>();
  let current: { requestId: string; answered: PromiseWithResolvers<Outcome> } | undefined;

  const served = await serve(async (request, response) => {
    const [, id, what] =
      /^\/2018-06-01\/runtime\/(?:invocation\/)?([^/]+?)(?:\/([^/]+))?$/.exec(request.url ?? '') ?? [];
    if (id === 'next') return asking.resolve(response);
    const body = JSON.parse(await bodyOf(request));
    if (id === 'init' && what === 'error') initFailed.resolve({ error: body });
    else if (!current || current.requestId !== id) return answer(response, 400, { errorType: 'InvalidRequestID' });
    else current.answered.resolve(what === 'response' ? { payload: body } : { error: body });
    answer(response, 202, { status: 'OK' });
  });

  return {
    host: new URL(served.url).host,
    loaded: () => Promise.race([asking.promise.then(() => undefined), initFailed.promise]),
    async send({ requestId, headers, event }) {
      const response = await asking.promise;
      const answered = Promise.withResolvers<Outcome>();
      asking = Promise.withResolvers();
      current = { requestId, answered };
      answer(response, 200, event, headers);
      return await answered.promise;
    },
    [Symbol.asyncDispose]: served[Symbol.asyncDispose],
  };
}
