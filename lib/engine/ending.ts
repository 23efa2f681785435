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
  let ending: Ending = 'complete';
  let failure: { error: unknown } | undefined;

  function end(error: unknown) {
    if (!(error instanceof Interrupted)) failure ??= { error };
    else if (ending === 'complete') ending = error.reason;
    closing.abort(error);
  }

  return {
    end,
    result(finished) {
      if (closing.signal.aborted && !finished) end(closing.signal.reason);
      if (failure) throw failure.error;
      return ending;
    },
  };
}
