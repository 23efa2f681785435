import { parseBackfillEvent } from '../lib/event.ts';
import { run } from '../lib/run/run.ts';
import { lambda } from './lambda.ts';

/** The handler for runs by hand: the same engine under the same lock, leaving the timer's own state alone. */
export const handler = lambda(async (job, event, invocation) => {
  const request = parseBackfillEvent(event);
  if (request.kind === 'continue') {
    const { runStep } = await import('../lib/run/detached/step.ts');
    return await runStep(job, request, invocation);
  }
  if ('detach' in request) {
    const { startBackfill } = await import('../lib/run/detached/start.ts');
    return await startBackfill(job, request, invocation);
  }
  return await run(job, request, invocation);
});
