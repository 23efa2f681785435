import { answer, bodyOf, serve } from '../../infra/local/serve.ts';

/** The event of a step, as a run sends it. */
export interface SentEvent {
  kind: string;
  backfillId: string;
  step: number;
  waits?: number;
  shard?: { index: number; of: number };
}

/**
 * Lambda's Invoke API, which keeps the events that are sent asynchronously for the test to deliver. A process has one at a time,
 * because runs find it by an environment variable.
 */
export async function startFakeLambda() {
  const state = { sent: [] as { functionName: string; event: SentEvent }[], status: 202 };
  const served = await serve(async (request, response) => {
    const event = JSON.parse(await bodyOf(request));
    const functionName = /functions\/([^/]+)\/invocations$/.exec(request.url ?? '')?.[1] ?? '';
    if (state.status === 202) state.sent.push({ functionName: decodeURIComponent(functionName), event });
    answer(response, state.status, {});
  });
  process.env.AWS_ENDPOINT_URL_LAMBDA = served.url;
  return Object.assign(state, served);
}
