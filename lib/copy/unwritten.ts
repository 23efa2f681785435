import type { Job } from '../run/run.ts';
import type { RunUnderLock } from '../state/final-state.ts';
import { instantAt, instantOf } from '../time/instant.ts';

/**
 * Sees to it that no record is lost that is not written: what has failed is read again by id, or else by time; what is
 * given up or invalid goes to the dead-letter queue.
 */
export function keepUnwritten<R>(job: Job<R>, { request, pass, failures, deadLetters, log }: RunUnderLock) {
  const readsById = job.source.one !== undefined;
  // The later ticks try again; those that only go on with this one's pass leave it to them.
  const goesOn = request.kind === 'tick' && request.continues !== undefined;
  let toldFull = false;
  return {
    /** The ids of the records that failed before and are to be read again first. */
    again: readsById && !goesOn ? failures.due() : [],
    recordWritten: failures.done,
    recordMissing: failures.done,
    recordUnreadable: failures.failedAgain,
    recordInvalid(id: string, reason: string, record: unknown) {
      failures.failedAgain(id, reason);
      return deadLetters.invalid({ id, kind: 'invalid', reason, record });
    },
    recordFailed(id: string, reason: string, record: R, refused: boolean) {
      if ((readsById || request.kind === 'backfill') && failures.failed(id, reason, refused)) return;
      // Nobody reads it again by time.
      if (request.kind === 'backfill') {
        if (!toldFull) log.warn('more records failed than a backfill can name: the rest of them is only counted');
        toldFull = true;
        return;
      }
      if (!job.updatedAt) return;
      // Where that cannot be made out, the next pass reads what this one has read.
      const updatedAt = instantOf(job.updatedAt(record)) ?? pass.since ?? instantAt(Number.NEGATIVE_INFINITY);
      if (!(pass.holdBack && pass.holdBack <= updatedAt)) pass.holdBack = updatedAt;
    },
    /** Sends what is not tried any more to the dead-letter queue; what has not arrived there stays in the list. */
    async giveUp(targetWasUp: boolean) {
      const letters = failures.givenUp(targetWasUp).map((failure) => ({ ...failure, kind: 'failed' as const }));
      for (const id of await deadLetters.givenUp(letters)) failures.done(id);
    },
  };
}
