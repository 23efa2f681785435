import { parseTick } from '../lib/event.ts';
import { run } from '../lib/run/run.ts';
import { lambda } from './lambda.ts';

/** The timer's handler: one tick. */
export const handler = lambda((job, event, invocation) => run(job, parseTick(event), invocation));
