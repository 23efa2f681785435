import { isDeepStrictEqual } from 'node:util';
import type { Backfill, StartBackfill } from '../backfill-event.ts';
import { EventError, StateError } from '../errors.ts';
import { newReport } from '../report.ts';
import type { BackfillProgress, Detached } from './backfill-schemas.ts';
import type { State } from './state.ts';

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
