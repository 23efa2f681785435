import { firstWithin } from '../bounded-list.ts';
import { addReports, type Report } from '../report.ts';
import { type Detached, MAX_FAILED_IDS } from './backfill-schemas.ts';
import { windowsOf } from './detached.ts';
import type { Pass, RunRecord } from './schemas.ts';

/** A detached backfill that has begun so often without settling a page has failed. */
export const MAX_ATTEMPTS = 5;

/** A step that ended early is tried again after this long at first, twice as long after each attempt, and at most the latter. */
const [FIRST_PAUSE_MS, MAX_PAUSE_MS] = [2000, 300_000];

/** After a throttling whose end nobody knows. */
const THROTTLED_PAUSE_MS = 30_000;

/** How long to wait before another attempt. */
export const pauseAfter = (attempts: number): number => Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempts);

/** The most bytes of the ids of failed records that are kept. Twenty long ones would be more than etcd takes. */
const MAX_FAILED_IDS_BYTES = 4000;

/** How the run of a step has ended. */
export interface StepEnd {
  last: Pick<RunRecord, 'status' | 'endedAt' | 'report' | 'error'>;
  /** Why it is partial. */
  reason?: string | undefined;
  /** Until when a server wants to be left alone. */
  quotaUntil?: string | undefined;
  pass: Pick<Pass, 'counts'>;
  /** How many pages the run has settled. */
  settledPages: number;
  /** The records that were not written and are not tried again, as far as the list of failed ones no longer has them. */
  givenUp: string[];
}

/** What is known of a detached backfill during a run, which has settled so many pages so far. */
export function underWay(before: Detached, settledPages: number, now: string): Detached {
  return { ...before, attempts: settledPages > 0 ? 0 : before.attempts, updatedAt: now };
}

/**
 * What is known of a detached backfill after the run of a step: the next window or another attempt, unless it has ended.
 * @param before with this attempt counted
 * @param step of the event; an event that was sent twice may be ahead of the state
 */
export function afterStep(before: Detached, step: number, end: StepEnd): Detached {
  const { last, settledPages, pass } = end;
  const { endedAt } = last;
  const { notBefore: _, lastError, ...rest } = underWay(before, settledPages, endedAt);
  const throughWindow = last.status === 'completed';
  const window = rest.window + (throughWindow ? 1 : 0);
  const after: Detached = {
    ...rest,
    ...{ window, step: Math.max(step, rest.step) + 1 },
    ...(throughWindow && { counts: addReports(rest.counts, pass.counts), attempts: 0 }),
    failedCount: rest.failedCount + end.givenUp.length,
    failedIds: firstWithin([...rest.failedIds, ...end.givenUp].slice(0, MAX_FAILED_IDS), MAX_FAILED_IDS_BYTES),
    rate: rateOf(last.report),
  };
  const status = statusAfter(after, end);
  const error = last.error ?? (settledPages > 0 || throughWindow ? undefined : lastError);
  return {
    ...after,
    status,
    ...(error && { lastError: error }),
    ...(status === 'running' ? pausing(after, end) : { endedAt }),
  };
}

function statusAfter({ window, attempts, ...range }: Detached, { reason }: StepEnd): Detached['status'] {
  if (reason === 'cancelled') return 'cancelled';
  if (window >= windowsOf(range)) return 'completed';
  return attempts >= MAX_ATTEMPTS ? 'failed' : 'running';
}

function pausing({ attempts }: Detached, end: StepEnd): Pick<Detached, 'notBefore'> {
  const { last, reason, quotaUntil } = end;
  if (quotaUntil !== undefined) return { notBefore: quotaUntil };
  const isEarly = last.status === 'failed' || end.settledPages === 0 || reason === 'throttled';
  if (last.status === 'completed' || !isEarly) return {};
  const pauseMs = Math.max(pauseAfter(attempts), reason === 'throttled' ? THROTTLED_PAUSE_MS : 0);
  return { notBefore: new Date(Date.parse(last.endedAt) + pauseMs).toISOString() };
}

/** Undefined where the run was too short to say. */
function rateOf({ read, durationMs }: Report): number | undefined {
  return durationMs > 0 ? Math.round((read / durationMs) * 100_000) / 100 : undefined;
}
