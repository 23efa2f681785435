import type { Backfill, BackfillStep, StartBackfill } from '../backfill-event.ts';
import type { Job } from '../job-types.ts';
import type { Invocation } from './invocation.ts';
import type { Result } from './result.ts';
import { run } from './run.ts';

/**
 * A backfill by one invocation, or the start or a step of one that goes on by itself.
 * @throws what `run`, `startBackfill` and `runStep` throw
 */
export async function backfill<R>(
  job: Job<R>,
  request: Backfill | StartBackfill | BackfillStep,
  invocation: Invocation,
): Promise<Result> {
  // Loaded now, because a backfill by one invocation needs none of it.
  if (request.kind === 'continue') {
    const { runStep } = await import('./detached/step.ts');
    return await runStep(job, request, invocation);
  }
  if ('detach' in request) {
    const { startBackfill } = await import('./detached/start.ts');
    return await startBackfill(job, request, invocation);
  }
  return await run(job, request, invocation);
}
