import { instantAt, instantOf } from '../instant.ts';
import type { Job } from '../job-types.ts';
import type { Log } from '../log.ts';
import type { RecordOutcomes } from '../record-outcomes.ts';
import type { Problem } from '../report.ts';
import type { Failures } from '../state/failures.ts';
import type { PassUnderWay } from '../state/pass-under-way.ts';
import type { DeadLetters } from './dead-letters.ts';

/**
 * Keeps what is not written, so that no record is lost: a failed record is read again by id, or else by time; a record that
 * is given up or invalid goes to the dead-letter queue.
 */
export function keepUnwritten<R>(options: {
  job: Pick<Job<R>, 'updatedAt' | 'deleted' | 'source'>;
  kind: 'tick' | 'backfill';
  pass: PassUnderWay;
  failures: Failures;
  deadLetters: DeadLetters;
  note(problem: Problem): void;
  log: Log;
}): RecordOutcomes<R> {
  const { job, kind, pass, failures, deadLetters, note, log } = options;
  const readsById = job.source.one !== undefined;
  let saidFull = false;

  function keepByTime(record: R) {
    if (!job.updatedAt) return;
    // Where its time is unknown, the next pass reads what this one has read.
    pass.holdBack(instantOf(job.updatedAt(record)) ?? pass.current().since ?? instantAt(Number.NEGATIVE_INFINITY));
  }

  /** The source may have a tombstone in its list only, so the next pass reads that again. @returns whether one has failed */
  function keepTombstone(id: string): boolean {
    const tombstone = failures.tombstoneOf(id);
    if (tombstone && !tombstone.isLast) pass.holdBack(tombstone.at);
    return tombstone !== undefined;
  }

  return {
    done: (id) => failures.done(id),
    notRemoved: (id, reason) => note({ id, kind: 'failed', reason: `it is not removed: ${reason}` }),
    missing(id) {
      const reason = 'the source knows no record of this id';
      if (keepTombstone(id)) failures.failedAgain(id, reason);
      else failures.done(id);
      note({ id, kind: 'missing', reason });
    },
    unreadable(id, reason) {
      keepTombstone(id);
      failures.failed(id, reason, true);
      note({ id, kind: 'failed', reason });
    },
    invalid(id, reason, record) {
      note({ id, kind: 'invalid', reason });
      failures.failedAgain(id, reason);
      return deadLetters.invalid({ id, kind: 'invalid', reason, record });
    },
    failed(id, reason, record, refused) {
      note({ id, kind: 'failed', reason });
      if ((readsById || kind === 'backfill') && failures.failed(id, reason, refused)) {
        failures.deleted(id, job.deleted?.(record) ? instantOf(job.updatedAt?.(record)) : undefined);
        return;
      }
      if (kind === 'tick') return keepByTime(record);
      // Nobody reads a backfill's window again.
      if (!saidFull) log.warn('more records failed than a backfill can name: the rest of them is only counted');
      saidFull = true;
    },
  };
}
