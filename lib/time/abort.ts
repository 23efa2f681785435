/**
 * Waits for `work`, but no longer than until the signal aborts; the work itself goes on.
 * @throws the signal's reason
 */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  // By hand, because events.addAbortListener takes twice the time, and a push waits here for each record.
  signal.addEventListener('abort', abort);
  try {
    // The abort comes first: where both are there, the caller is to end.
    return await Promise.race([aborted.promise, work]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
