/**
 * Waits for `work`, but no longer than until the signal fires; the work itself goes on.
 * @throws the signal's reason
 */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  using cleanup = new DisposableStack();
  const aborted = new Promise<never>((_, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    // Removed again, because the signal of a run outlives a million waits.
    signal.addEventListener('abort', abort, { once: true });
    cleanup.defer(() => signal.removeEventListener('abort', abort));
  });
  return await Promise.race([work, aborted]);
}
