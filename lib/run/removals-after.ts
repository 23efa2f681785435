import type { Backfill } from '../backfill-event.ts';
import type { Copied } from '../copy/copy.ts';
import type { Tick } from '../event.ts';
import type { Log } from '../log.ts';
import type { Reached } from '../state/final-state.ts';
import type { PassUnderWay } from '../state/pass-under-way.ts';
import type { Taken } from './acquire.ts';
import type { Observed } from './observed.ts';

/** What is known of the run. */
interface Running {
  request: Tick | Backfill;
  startedMs: number;
  taken: Pick<Taken, 'state'>;
  observed: Pick<Observed, 'vanishedRemoved'>;
  log: Log;
}

/** A full pass compares with what the target holds; one of a tick's changes only would read more than it writes. */
export const comparesAll = (request: Tick | Backfill, pass: PassUnderWay): boolean =>
  request.kind === 'tick' ? pass.current().full : !(request.since || request.until || request.ids);

/**
 * What a pass that compares leaves of removals. An approval holds for one pass, although this one may not know what has vanished.
 */
export function removalsAfter(
  running: Running,
  pass: PassUnderWay,
  { ending, vanished }: Copied,
): Pick<Reached, 'removals' | 'waiting' | 'approval'> {
  const { request, startedMs, taken, log } = running;
  if (ending !== 'complete') return approvalLeft(running);
  if (!comparesAll(request, pass)) return {};
  const { removals: before, waiting: waited } = taken.state;
  const { removals, waiting } = vanished;
  const left = waiting.length > 0 || waited ? { waiting } : {};
  // It is for the pass that can remove something.
  if (removals === 'not due' && before?.approvedUpTo !== undefined) return left;
  if (removals === 'let through' || removals === 'not due') return { ...left, removals: 'none' };
  if (removals !== 'unknown') return { ...left, removals: { ...removals, at: new Date(startedMs).toISOString() } };
  if (before?.approvedUpTo === undefined) return left;
  log.warn('the approval of removals is used up, although not all of them were made: approve them again');
  return { ...left, removals: { ...before, approvedUpTo: undefined } };
}

/** What an approval is worth that a run has used in part: the next pass goes on with it. */
export function approvalLeft({ taken, observed }: Pick<Running, 'taken' | 'observed'>): Pick<Reached, 'approval'> {
  const { removals } = taken.state;
  const { vanishedRemoved: made = 0 } = observed;
  if (removals?.approvedUpTo === undefined || made === 0) return {};
  const [withheld, approvedUpTo] = [removals.withheld, removals.approvedUpTo].map((n) => Math.max(0, n - made));
  return { approval: { ...removals, withheld: withheld!, approvedUpTo } };
}
