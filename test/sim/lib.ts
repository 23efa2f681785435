import './hooks.ts';
import type { Job } from '../../lib/job-types.ts';

// After the hooks, so that lib gets the simulated world.
export const { run } = await import('../../lib/run/run.ts');
export const { control } = await import('../../lib/run/control.ts');
export const { createMetrics } = await import('../../lib/run/metrics.ts');
export const { readSettings } = await import('../../lib/settings/config.ts');
export const { parseBackfill } = await import('../../lib/backfill-event.ts');
export const { parseControl, parseTick } = await import('../../lib/event.ts');
export const { job } = (await import('../support/job.ts')) as { job: Job<unknown> };
// What a run loads on the way is loaded by now, so that no event of the simulated world waits for a file.
await Promise.all(
  ['run/work', 'run/continuation', 'run/rehearse', 'copy/dead-letter-queue'].map(
    (name) => import(`../../lib/${name}.ts`),
  ),
);
