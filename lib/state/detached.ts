import { isDeepStrictEqual } from 'node:util';
import type { Backfill, StartBackfill } from '../backfill-event.ts';
import { firstWithin } from '../bounded-list.ts';
import { EventError, StateError } from '../errors.ts';
import { COUNTS, newReport, type Report } from '../report.ts';
import { type BackfillProgress, type Detached, MAX_FAILED_IDS } from './backfill-schemas.ts';
import type { Pass, RunRecord } from './schemas.ts';
import type { State } from './state.ts';

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

/** How many windows a detached backfill is cut into. */
export function windowsOf({
  since,
  until,
  windowSeconds,
}: Pick<Detached, 'since' | 'until' | 'windowSeconds'>): number {
  if (!windowSeconds || !since || !until) return 1;
  return Math.ceil((Date.parse(until) - Date.parse(since)) / (windowSeconds * 1000));
}

/** The window that a detached backfill copies now; the last one may be shorter. */
export function currentWindow({ since, until, windowSeconds, window }: Detached): { since?: string; until?: string } {
  if (!windowSeconds || !since || !until) return { ...(since && { since }), ...(until && { until }) };
  const endMs = Date.parse(until);
  const edge = (index: number) =>
    new Date(Math.min(Date.parse(since) + index * windowSeconds * 1000, endMs)).toISOString();
  return { since: edge(window), until: edge(window + 1) };
}

/** The sum of two reports; of the peaks, the higher one. */
export function addReports(a: Report, b: Report): Report {
  const sum = Object.fromEntries(COUNTS.map((name) => [name, a[name] + b[name]])) as Report;
  const outside = (a.outside ?? 0) + (b.outside ?? 0);
  return { ...sum, peakInFlight: Math.max(a.peakInFlight, b.peakInFlight), ...(outside > 0 && { outside }) };
}

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

/** @param idCount how many ids it copies, where it copies single records */
export function beginDetached(request: StartBackfill, idCount: number | undefined, now: string): Detached {
  const { since, windowSeconds, concurrency, startedBy } = request;
  // The windows of all steps are cut from the same end.
  const until = request.until ?? (windowSeconds ? now : undefined);
  return {
    status: 'running',
    ...(since && { since }),
    ...(until && { until }),
    ...(idCount !== undefined && { idCount }),
    ...(windowSeconds && { windowSeconds }),
    ...(concurrency && { concurrency }),
    ...{ window: 0, step: 0, attempts: 0, counts: newReport(), failedCount: 0, failedIds: [] },
    ...{ startedAt: now, updatedAt: now, ...(startedBy && { startedBy }) },
  };
}

/** A backfill that has failed or was cancelled goes on where it was. Its earlier events are old ones. */
export function againAfterEnd(ended: Detached, concurrency: number | undefined, now: string): Detached {
  const { endedAt: _, notBefore: __, lastError: ___, ...rest } = ended;
  const again = { status: 'running' as const, step: ended.step + 1, attempts: 0, updatedAt: now };
  return { ...rest, ...again, ...(concurrency !== undefined && { concurrency }) };
}

/**
 * Checks that who names a known backfill means it.
 * @throws EventError
 */
export function checkSameRange(
  id: string,
  request: Pick<StartBackfill, 'since' | 'until' | 'windowSeconds' | 'ids'>,
  known: Detached | undefined,
  { ownIds, savedIds }: { ownIds: string[] | undefined; savedIds: string[] | undefined },
): Detached {
  if (!known) throw new EventError(`backfill ${id} is not a detached one: continue it without detach`);
  for (const name of ['since', 'until', 'windowSeconds'] as const) {
    if (request[name] === undefined || request[name] === known[name]) continue;
    throw new EventError(`backfill ${id} has ${name} ${known[name] ?? 'not set'}, not ${request[name]}`);
  }
  if (ownIds && known.status !== 'completed' && !isDeepStrictEqual(ownIds, savedIds))
    throw new EventError(`backfill ${id} is not one of these ids`);
  return known;
}

/** @throws EventError where a backfill by one invocation names one that goes on by itself */
export function checkAttached({ backfillId }: Backfill, known: BackfillProgress | undefined): void {
  if (!known?.detached) return;
  throw new EventError(`backfill ${backfillId} is a detached one: to go on with it, send detach as well`);
}

/**
 * What the step of a detached backfill copies; any other backfill says it itself.
 * @throws StateError where that is not known any more
 */
export function askedByStep(request: Backfill, state: Pick<State, 'backfillProgress' | 'backfillIds'>): Backfill {
  const detached = state.backfillProgress?.detached;
  if (request.step === undefined || !detached) return request;
  const { backfillIds: ids } = state;
  const { idCount, concurrency, startedBy } = detached;
  // Without its ids it would copy everything.
  if (idCount !== undefined && !ids)
    throw new StateError(`the ids of backfill ${request.backfillId} are gone from etcd`);
  return { ...request, ...currentWindow(detached), ...(ids && { ids }), concurrency, startedBy };
}
