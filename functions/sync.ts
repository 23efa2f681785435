import { parseTick } from '../lib/event.ts';
import { run } from '../lib/run/run.ts';
import { job } from './job.ts';
import { lambda } from './lambda.ts';

/** The timer's handler: one tick. */
export const handler = lambda((event, invocation) => run(job, parseTick(event), invocation));
