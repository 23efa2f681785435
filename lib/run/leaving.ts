import type { Backfill } from '../backfill-event.ts';
import type { Tick } from '../event.ts';
import type { Settings } from '../settings/config.ts';
import { type Leaving, leavingOfBackfill, leavingOfTick } from '../state/final-state.ts';
import type { PassUnderWay } from '../state/pass-under-way.ts';
import type { Places } from '../state/places.ts';
import type { Taken } from './acquire.ts';
import type { Chain } from './detached/chain.ts';
import { leavingOfStep } from './detached/leaving-of-step.ts';

/** What a run leaves behind: a tick, a backfill by one invocation, or a step of a detached one. */
export function leavingOf(
  running: {
    request: Tick | Backfill;
    runId: string;
    settings: Pick<Settings, 'watermarkOverlapSeconds'>;
    places: Places;
    taken: Pick<Taken, 'state' | 'grant'>;
    chain?: Chain | undefined;
  },
  pass: PassUnderWay,
): Leaving {
  const { request, runId, settings, places, taken, chain } = running;
  const { statePrefix: prefix } = places;
  const { state, grant } = taken;
  if (request.kind === 'tick') {
    const { watermarkOverlapSeconds: overlapSeconds } = settings;
    return leavingOfTick(prefix, state, { scheduledTime: request.scheduledTime, overlapSeconds });
  }
  const { backfillId = runId, step } = request;
  if (step === undefined || !chain) return leavingOfBackfill(prefix, backfillId);
  return leavingOfStep({ prefix, backfillId, step, state, pass, chain, grant });
}
