import { parseBackfill } from '../lib/event.ts';
import { run } from '../lib/run/run.ts';
import { lambda } from './lambda.ts';

/** The handler for runs by hand: the same engine under the same lock, leaving the timer's own state alone. */
export const handler = lambda((job, event, invocation) => run(job, parseBackfill(event), invocation));
