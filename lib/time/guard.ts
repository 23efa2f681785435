import { setMaxListeners } from 'node:events';

/** What ends a pass early. */
export interface Stops {
  /** Called before each attempt of each request. @throws LockLostError once the lease can have expired */
  check(): void;
  /** See `Deadline`. */
  deadline: { closing: AbortSignal; closesInMs(): number; cut: AbortSignal };
  /** Aborts when the lock is lost; a rehearsal has none to lose. */
  lost?: AbortSignal;
  /** Aborts when nothing more should start, because what is done cannot be saved, or because the run makes way for another. */
  saveFailed?: AbortSignal;
}

/** What every attempt of every request has to respect. */
export interface Guard {
  /** @throws LockLostError once the lease can have expired */
  check(): void;
  /** Aborts when nothing new may start, retries included. */
  closing: AbortSignal;
  /** How long that is from now. */
  closesInMs(): number;
  /** Aborts when what is in flight must stop. */
  signal: AbortSignal;
}

/** Joins the stops into a guard, and the controller of its `closing`, with which the pass can end itself. */
export function guardWith({ check, deadline, lost, saveFailed }: Stops): { closing: AbortController; guard: Guard } {
  const closing = new AbortController();
  // Controllers of their own: a signal made by AbortSignal.any() looks at all of its sources whenever it is asked.
  const stopping = new AbortController();
  abortWith(closing, deadline.closing, lost, saveFailed);
  abortWith(stopping, deadline.cut, lost);
  // Each request in flight listens to them.
  setMaxListeners(0, closing.signal, stopping.signal);
  const guard = { check, closing: closing.signal, closesInMs: deadline.closesInMs, signal: stopping.signal };
  return { closing, guard };
}

/** Aborts `controller` with the first of the signals. */
function abortWith(controller: AbortController, ...signals: (AbortSignal | undefined)[]) {
  for (const signal of signals) {
    if (signal?.aborted) controller.abort(signal.reason);
    signal?.addEventListener('abort', () => controller.abort(signal.reason), { once: true });
  }
}
