import { Interrupted } from '../errors.ts';

/** How a pass ended: the list was read to its end, or why not. */
export type Ending = 'complete' | Interrupted['reason'];

/** Keeps the first reason to end, and closes the run at once. */
export interface RunEnding {
  /** Ends the run: as a partial one after Interrupted, otherwise with this error. */
  end(error: unknown): void;
  /**
   * Gives the ending once nothing is in flight any more.
   * @param finished that the whole list is settled: then a deadline that came meanwhile has interrupted nothing
   * @throws the first error that concerns the run
   */
  result(finished: boolean): Ending;
}

export function openEnding(closing: AbortController): RunEnding {
  let failure: { error: unknown } | undefined;

  function end(error: unknown) {
    if (!(error instanceof Interrupted)) failure ??= { error };
    // A signal keeps its first reason.
    closing.abort(error);
  }

  return {
    end,
    result(finished) {
      const { aborted, reason } = closing.signal;
      const interrupted = aborted && !finished;
      if (interrupted) end(reason);
      if (failure) throw failure.error;
      return interrupted ? (reason as Interrupted).reason : 'complete';
    },
  };
}
