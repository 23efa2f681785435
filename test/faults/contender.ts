/**
 * A process that competes for one lock: each message is a tick, each answer its result. It can be killed and stopped like
 * an execution environment, and costs less than one to start.
 */

import { parseTick } from '../../lib/event.ts';
import type { Job } from '../../lib/job-types.ts';
import { createLog } from '../../lib/log.ts';
import { run } from '../../lib/run/run.ts';
import { readSettings } from '../../lib/settings/config.ts';
import { secretStore } from '../../lib/settings/secrets.ts';
import { job as shippedJob } from '../support/job.ts';
import { jobOf } from '../support/kinds-of-job.ts';

const { KIND } = process.env;
const job = (KIND ? jobOf(JSON.parse(KIND)) : shippedJob) as Job<unknown>;
const settings = readSettings(process.env, job);
const secrets = secretStore(settings.secretId, job);
const log = createLog(job.name);
const never = new AbortController().signal;

process.on('message', async (event: unknown) => {
  const invocation = {
    ...{ settings, secrets, log, requestId: String(process.pid), functionName: 'contender' },
    ...{ remainingMs: 60_000, stop: never },
  };
  const answer = await run(job, parseTick(event), invocation).then(
    (result) => ({ result }),
    ({ name, message }: Error) => ({ error: { name, message } }),
  );
  process.send?.(answer);
});
process.on('disconnect', () => process.exit());
process.send?.('ready');
