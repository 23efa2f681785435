import { parseBackfillEvent } from '../lib/backfill-event.ts';
import { backfill } from '../lib/run/backfill.ts';
import { lambda } from './lambda.ts';

/** The handler for runs by hand: the same engine under the same lock, leaving the timer's own state alone. */
export const handler = lambda((job, event, invocation) => backfill(job, parseBackfillEvent(event), invocation));
