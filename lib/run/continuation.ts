import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import type { Backfill } from '../backfill-event.ts';
import { InvokeError } from '../errors.ts';
import type { Tick } from '../event.ts';
import type { Log } from '../log.ts';
import type { Wanted } from '../state/wanted.ts';
import { TO_REVOKE_AND_ANSWER_MS } from '../time/deadline.ts';

/** Lambda's loop detection would end a chain after 16. The function switches it off, so this bound ends the chain. */
const MAX_HOPS = 20;

/** What it takes to invoke a function from within one. */
export interface Sending {
  runId: string;
  /** Our own name in Lambda. */
  functionName: string;
  log: Log;
  /** Until Lambda ends the invocation. */
  endsInMs: number;
}

/**
 * Invokes the function again, asynchronously, for the rest of a partial pass. A failure is
 * logged and not thrown: the next tick goes on with the pass anyway.
 */
export async function continueLater(tick: Tick, sending: Sending): Promise<void> {
  const { runId, functionName, log } = sending;
  const { root, hop } = tick.continues ?? { root: runId, hop: 0 };
  if (hop >= MAX_HOPS) return log.warn(`the pass was continued ${hop} times; the next tick goes on with it`, { root });
  const event = { kind: 'continue', root, hop: hop + 1, shard: tick.shard };
  try {
    await invokeLater(functionName, event, sending);
    log.info('continued: the function was invoked again', { event });
  } catch (error) {
    log.error('the pass could not be continued at once; the next tick goes on with it', { error });
  }
}

/**
 * Invokes the sync function, asynchronously, with the tick that found the lock held by this run. A failure is logged and not
 * thrown: the next tick does its work.
 */
export async function runWanted(wanted: Wanted, request: Tick | Backfill, sending: Sending): Promise<void> {
  const { functionName, log } = sending;
  const event = { kind: 'tick', scheduledTime: wanted.scheduledTime, shard: request.shard };
  try {
    await invokeLater(functionName.replace(/backfill$/, 'sync'), event, sending);
    log.info('a tick had found the lock held: it was sent again', { event, skipped: wanted.runId });
  } catch (error) {
    log.error('a tick that found the lock held could not be sent again; the next one does its work', { error });
  }
}

/** Invokes a function asynchronously. @throws InvokeError, also when the time is up */
export async function invokeLater(
  functionName: string,
  event: object,
  { endsInMs }: Pick<Sending, 'endsInMs'>,
): Promise<void> {
  const client = new LambdaClient({
    maxAttempts: 2,
    requestHandler: { connectionTimeout: 1000, requestTimeout: 2000, throwOnRequestTimeout: true },
  });
  const Payload = JSON.stringify(event);
  const command = new InvokeCommand({ FunctionName: functionName, InvocationType: 'Event', Payload });
  const timeoutMs = Math.max(0, Math.floor(Math.max(endsInMs / 2, endsInMs - TO_REVOKE_AND_ANSWER_MS)));
  await client.send(command, { abortSignal: AbortSignal.timeout(timeoutMs) }).catch((cause: Error) => {
    throw new InvokeError(`${functionName} could not be invoked: ${cause.name}: ${cause.message}`, { cause });
  });
}
