import type { Functions } from '../operate/functions.ts';
import type { Jobs } from '../operate/jobs.ts';

/**
 * The same jobs. Nobody waits for an answer of theirs any more once `closed`, or the invocation's own signal, aborts; not even
 * where the invocation does not hear it, as while a program that fetches credentials asks its user something.
 */
export function until(closed: AbortSignal, jobs: Jobs): Jobs {
  return {
    ...jobs,
    of(job) {
      const functions = jobs.of(job);
      const sync: Functions['sync'] = (event, own) => within(own, (signal) => functions.sync(event, signal));
      const backfill: Functions['backfill'] = (event, own) =>
        within(own, (signal) => functions.backfill(event, signal));
      const control: Functions['control'] = (event, own) => within(own, (signal) => functions.control(event, signal));
      return { sync, backfill, control };
    },
  };

  async function within<T>(own: AbortSignal | undefined, invoke: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = own ? AbortSignal.any([closed, own]) : closed;
    signal.throwIfAborted();
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const end = () => reject(signal.reason);
    signal.addEventListener('abort', end);
    try {
      return await Promise.race([invoke(signal), aborted]);
    } finally {
      signal.removeEventListener('abort', end);
    }
  }
}
