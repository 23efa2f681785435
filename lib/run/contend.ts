import type { Backfill } from '../backfill-event.ts';
import type { Tick } from '../event.ts';
import type { Etcd } from '../lock/etcd.ts';
import type { Holder } from '../lock/holder.ts';
import type { Log } from '../log.ts';
import type { Settings } from '../settings/config.ts';
import { countSkip } from '../state/count-skip.ts';
import type { Places } from '../state/places.ts';
import type { Deadline } from '../time/deadline.ts';
import { ACQUIRE, type Taken, takeLock } from './acquire.ts';
import { giveWay } from './give-way.ts';

/** How often a tick tries to take the lock, where its holder ends just before the skip is counted, and somebody else has it then. */
const MAX_ATTEMPTS = 10;

/** Why the lock was not taken, and how many ticks in a row were skipped for that; undefined where that is unknown. */
export interface Refused {
  heldBy: Holder;
  skipsInARow?: number | undefined;
}

export interface Contending {
  request: Tick | Backfill;
  runId: string;
  startedMs: number;
  requestId: string;
  settings: Settings;
  places: Places;
  /** Who held the lock at the look. */
  holder: Holder | undefined;
  deadline: Deadline;
  log: Log;
  /** Own the session. */
  resources: AsyncDisposableStack;
}

/**
 * Takes the lock, a backfill after it has given way and waited, or says who holds it. A tick that does not get it is counted,
 * and noted as the one that is wanted, for as long as that holder has the lock: where it has ended meanwhile, the tick tries
 * again, so that no tick is lost between the look and the skip.
 */
export async function contend(etcd: Etcd, contending: Contending): Promise<Taken | Refused> {
  const { request, runId, startedMs, requestId, settings, places, deadline, log, resources } = contending;
  let heldBy = contending.holder;
  let waitMs = request.kind === 'backfill' ? request.waitSeconds * 1000 : 0;
  if (request.kind === 'backfill' && settings.yields) {
    const sinceMs = performance.now();
    heldBy = await giveWay(etcd, { places, waitMs, log, deadline });
    waitMs = deadline.closing.aborted ? 0 : Math.max(0, waitMs - (performance.now() - sinceMs));
  }
  for (let attempt = 1; ; attempt++) {
    if (!heldBy || waitMs > 0) {
      // Loaded now, because a skip needs none of it, and before the lock, which would be held for longer.
      await import('./work.ts');
      const { kind } = request;
      const step = kind === 'backfill' ? request.step : undefined;
      const taken = await takeLock(etcd, resources, {
        places,
        ttlSeconds: settings.lockTtlSeconds,
        self: { runId, kind, startedAt: new Date(startedMs).toISOString(), requestId, job: settings.job, step },
        waitMs,
        deadline,
        backfillId: request.kind === 'backfill' ? request.backfillId : undefined,
      });
      if (!('heldBy' in taken)) return taken;
      heldBy = taken.heldBy;
    }
    if (request.kind === 'backfill') return { heldBy };
    const noted = await noteSkip(etcd, request, heldBy, { ...contending, whoeverHolds: attempt === MAX_ATTEMPTS });
    if (noted !== 'holder gone') return { heldBy, skipsInARow: noted };
    heldBy = undefined;
  }
}

/**
 * Counts a tick that found the lock held, without the lock.
 * @returns the number of such ticks in a row; undefined where it could not be counted, which is logged
 */
async function noteSkip(
  etcd: Etcd,
  { scheduledTime }: Tick,
  heldBy: Holder,
  options: Pick<Contending, 'runId' | 'places' | 'settings' | 'deadline' | 'log'> & { whoeverHolds: boolean },
): Promise<number | 'holder gone' | undefined> {
  const { runId, places, settings, deadline, log, whoeverHolds } = options;
  const tick = { runId, at: new Date().toISOString(), scheduledTime };
  try {
    const budget = { ...ACQUIRE, signal: deadline.cut };
    const inARow = await countSkip(etcd, places, tick, whoeverHolds ? undefined : heldBy, budget);
    if (inARow === undefined) {
      log.info('the holder of the lock has ended before this skip was counted: trying again', { heldBy });
      return 'holder gone';
    }
    if (inARow >= settings.skipsBeforeWarning)
      log.warn(`${inARow} ticks in a row were skipped because the lock is held`);
    return inARow;
  } catch (error) {
    log.warn('the skip was not counted', { error });
    return undefined;
  }
}
