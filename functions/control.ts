import { parseControl } from '../lib/event.ts';
import { control } from '../lib/run/control.ts';
import { lambda } from './lambda.ts';

/** The handler for a look at the job, and for a pause. */
export const handler = lambda((_job, event, invocation) => control(parseControl(event), invocation));
