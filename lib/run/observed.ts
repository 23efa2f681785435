import type { Backfill } from '../backfill-event.ts';
import type { Tick } from '../event.ts';
import type { Report } from '../report.ts';
import type { State } from '../state/state.ts';
import type { Wanted } from '../state/wanted.ts';

/** What is known about a run at its end, however far it came. */
export interface Observed {
  request: Tick | Backfill;
  runId: string;
  startedMs: number;
  /** The state as it was read last; absent when etcd could not be asked. */
  state?: State;
  /** The number of ticks in a row that found the lock held, where this one did. */
  skipsInARow?: number | undefined;
  /** The counts of a run that got the lock. */
  report?: Report;
  /** The number of answers from source and target that throttle, or are 503. */
  throttles: number;
  /** The number of pages that the run has settled. */
  settledPages: number;
  /** How a detached backfill has ended, where this run was its last one. */
  backfillEnded?: 'completed' | 'failed' | 'cancelled' | undefined;
  /** The run has found no removals to withhold, whatever was withheld before it. */
  removalsLetThrough?: boolean;
  /** How many vanished records it has removed. */
  vanishedRemoved?: number;
  /** The tick that found the lock held by this run, and is to run now that it is free. */
  wanted?: Wanted | undefined;
}
