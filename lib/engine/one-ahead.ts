import { orAborted } from '../time/abort.ts';

/**
 * Passes pages on and fetches the next one meanwhile. At most two pages are in memory.
 * @throws what `pages` throws, or the signal's reason
 */
export async function* oneAhead<T>(pages: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = pages[Symbol.asyncIterator]();
  const fetchNext = () => {
    const next = Promise.resolve(iterator.next());
    // It may be given up while it waits its turn.
    next.catch(() => undefined);
    return next;
  };
  try {
    for (let next = fetchNext(); ; ) {
      const { done, value } = await orAborted(next, signal);
      if (done) return;
      // After the last page this asks an iterator that has ended, which costs nothing.
      next = fetchNext();
      yield value;
    }
  } finally {
    // The listing may hold something open. Nobody waits for it: what it still fetches ends with its client.
    Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}
