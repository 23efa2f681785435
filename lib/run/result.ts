import type { Difference } from '../copy/differences.ts';
import type { Ending } from '../engine/ending.ts';
import type { Holder } from '../lock/holder.ts';
import type { Problem, Report } from '../report.ts';
import type { Skip } from './skip.ts';

/** What a run answers. */
export interface Result {
  /** `started`: a detached backfill, which goes on by itself. */
  status: 'completed' | 'partial' | 'skipped' | 'started';
  job: string;
  runId: string;
  reason?: Skip['reason'] | Exclude<Ending, 'complete'>;
  /** Why it was skipped, or is partial. */
  message?: string;
  /** Until when the next ticks do nothing, because a server asks for a long pause. */
  notBefore?: string;
  heldBy?: Holder;
  fencingToken?: string;
  /** The counts of this invocation. */
  report: Report;
  /** The counts of the whole pass, over all its invocations. */
  pass?: Report;
  /** How many vanished records were not removed, because they are more than a pass may remove without an approval. */
  removalsWithheld?: number;
  /** A later `backfill` event names it to go on with this one. */
  backfillId?: string;
  /** Nothing was written, and the lock was not taken. */
  dryRun?: true;
  /** The first records that a rehearsal would have written. */
  wouldWrite?: string[];
  /** The first records in which the target differs from the source, of a rehearsal that compares; there although there are none. */
  differences?: Difference[];
  /** A rehearsal that compares has not found out what has vanished from the source. */
  vanishedUnknown?: true;
  /** The records that a backfill could not write, as many as are kept, for a later one with `ids`. */
  failedIds?: string[];
  /** How many they are; `failedIds` has as many as fit into an answer. */
  failedCount?: number;
  /** The first records that were not written, and why. */
  problems?: Problem[];
}
