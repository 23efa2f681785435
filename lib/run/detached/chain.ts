import type { BackfillStep } from '../../backfill-event.ts';
import { InvokeError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Shard } from '../../shard.ts';
import { invokeLater } from '../continuation.ts';

/** The chain of events of a detached backfill, for a run that is one of its steps. */
export interface Chain {
  /**
   * Sends the event of the next step.
   * @returns whether that was possible; where it was not, this step has to be delivered again
   */
  sendNext(step: number): Promise<boolean>;
  /** How the backfill has ended, where this step is its last one. Set before the lock is released. */
  ended?: 'completed' | 'failed' | 'cancelled';
}

/** Makes the function that sends an event of a chain to our own function. It throws InvokeError that names the backfill. */
export function stepSender(options: {
  functionName: string;
  log: Log;
  backfillId: string;
  shard: Shard | undefined;
  endsInMs: () => number;
}): (event: Pick<BackfillStep, 'step'> & { waits?: number }) => Promise<void> {
  const { functionName, log, backfillId, shard, endsInMs } = options;
  return async (event) => {
    const whole = { kind: 'continue', backfillId, ...(shard && shard.of > 1 && { shard }), ...event };
    await invokeLater(functionName, whole, { endsInMs: endsInMs() }).catch((cause: InvokeError) => {
      const why = `the next step of backfill ${backfillId} was not sent, resume it: ${cause.message}`;
      throw new InvokeError(why, { cause });
    });
    log.info('continued: the function was invoked again', { event: whole });
  };
}
