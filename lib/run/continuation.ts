import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import type { Tick } from '../event.ts';
import type { Log } from '../log.ts';
import { TO_REVOKE_AND_ANSWER_MS } from '../time/deadline.ts';

/** Lambda's loop detection would end a chain after 16. The function switches it off, so this bound ends the chain. */
const MAX_HOPS = 20;

/**
 * Invokes the function again, asynchronously, for the rest of a partial pass. A failure is
 * logged and not thrown: the next tick goes on with the pass anyway.
 */
export async function continueLater(
  tick: Tick,
  { runId, functionName, log, endsInMs }: { runId: string; functionName: string; log: Log; endsInMs: number },
): Promise<void> {
  const { root, hop } = tick.continues ?? { root: runId, hop: 0 };
  if (hop >= MAX_HOPS) return log.warn(`the pass was continued ${hop} times; the next tick goes on with it`, { root });
  const event = { kind: 'continue', root, hop: hop + 1, shard: tick.shard };
  try {
    const client = new LambdaClient({
      maxAttempts: 2,
      requestHandler: { connectionTimeout: 1000, requestTimeout: 2000, throwOnRequestTimeout: true },
    });
    await client.send(
      new InvokeCommand({ FunctionName: functionName, InvocationType: 'Event', Payload: JSON.stringify(event) }),
      { abortSignal: AbortSignal.timeout(Math.max(0, Math.floor(endsInMs - TO_REVOKE_AND_ANSWER_MS))) },
    );
    log.info('continued: the function was invoked again', { event });
  } catch (error) {
    log.error('the pass could not be continued at once; the next tick goes on with it', { error });
  }
}
