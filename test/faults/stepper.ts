/** A process that runs one invocation after the other, of any function and with the environment that each message brings. */

import { parseBackfillEvent } from '../../lib/backfill-event.ts';
import { parseControl, parseTick } from '../../lib/event.ts';
import { createLog } from '../../lib/log.ts';
import { backfill } from '../../lib/run/backfill.ts';
import { control } from '../../lib/run/control.ts';
import { run } from '../../lib/run/run.ts';
import { readSettings } from '../../lib/settings/config.ts';
import { secretStore } from '../../lib/settings/secrets.ts';
import { job } from '../support/job.ts';

/** What a message asks for. */
export interface Ask {
  kind: 'sync' | 'backfill' | 'control';
  env: Record<string, string>;
  event: unknown;
  requestId: string;
  remainingMs: number;
}

const log = createLog(job.name);
const secrets = secretStore(process.env.SECRET_ID ?? '', job);
const never = new AbortController().signal;

process.on('message', async ({ kind, env, event, requestId, remainingMs }: Ask) => {
  const settings = readSettings({ ...process.env, ...env }, job);
  const invocation = {
    ...{ settings, secrets, log, requestId, remainingMs, stop: never },
    // The test knows by it whose event that is.
    functionName: `${env.ROUND}-${kind}`,
  };
  const invoke = async () => {
    if (kind === 'control') return await control(parseControl(event), invocation);
    if (kind === 'sync') return await run(job, parseTick(event), invocation);
    return await backfill(job, parseBackfillEvent(event), invocation);
  };
  const answer = await invoke().then(
    (result) => ({ result }),
    ({ name, message }: Error) => ({ error: { name, message } }),
  );
  process.send?.(answer);
});
process.on('disconnect', () => process.exit());
process.send?.('ready');
