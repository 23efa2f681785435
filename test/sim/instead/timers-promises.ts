import * as real from 'node:timers/promises';
import { current } from '../process.ts';

/** Instead of `node:timers/promises`: a simulated process waits by its own monotonic clock. */
export const setTimeout = ((delayMs, value, options = {}) => {
  const process = current();
  if (!process) return real.setTimeout(delayMs, value, options);
  const { signal } = options;
  return new Promise((resolve, reject) => {
    const abort = () => {
      timer?.clear();
      reject(Object.assign(new DOMException('The operation was aborted', 'AbortError'), { cause: signal?.reason }));
    };
    const timer = signal?.aborted
      ? undefined
      : process.setTimer(
          () => {
            signal?.removeEventListener('abort', abort);
            resolve(value as never);
          },
          delayMs ?? 1,
          false,
        );
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
  });
}) as typeof real.setTimeout;
