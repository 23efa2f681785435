import type { Interrupted } from '../errors.ts';
import { MAX_QUOTA_MS, type Quota } from '../state/schemas.ts';
import type { State } from '../state/state.ts';

/** What a run leaves behind where a server asks for a long pause. */
export function quotaOf(interrupted: Interrupted | undefined): Quota | undefined {
  if (interrupted?.notBeforeMs === undefined) return undefined;
  const untilMs = Math.min(interrupted.notBeforeMs, Date.now() + MAX_QUOTA_MS);
  return { until: new Date(untilMs).toISOString(), message: interrupted.message };
}

/** What ticks have to wait for now, whether a tick or a backfill has met it: the servers are the same. */
export function quotaNow({ run, backfill }: State, nowMs: number): Quota | undefined {
  return [run?.quota, backfill?.quota]
    .filter((quota) => quota !== undefined)
    .filter(({ until }) => Date.parse(until) > nowMs && Date.parse(until) <= nowMs + MAX_QUOTA_MS)
    .sort((a, b) => Date.parse(b.until) - Date.parse(a.until))[0];
}
