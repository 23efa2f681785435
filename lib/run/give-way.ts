import { setTimeout as sleep } from 'node:timers/promises';
import type { Etcd } from '../lock/etcd.ts';
import { currentHolder, type Holder } from '../lock/holder.ts';
import { ask, both } from '../lock/query.ts';
import type { Log } from '../log.ts';
import type { Places } from '../state/places.ts';
import { currentState, type State } from '../state/state.ts';
import { isLater, lastWanted, type Wanted } from '../state/wanted.ts';
import type { Deadline } from '../time/deadline.ts';
import { ACQUIRE } from './acquire.ts';

/** How long a lock may be free before nobody waits for the tick any more. Its invocation takes that long at most to begin. */
const FREE_MS = 5000;
const POLL_MS = 250;

/**
 * Waits, without a lease and outside of the lock's queue, while a tick is on its way for which a backfill makes way: until a
 * tick holds the lock or has held it, or the lock was free for 5 s. So the backfill that made way, and others that wait, do not
 * take the lock before that tick.
 * @param options.waitMs while the lock is held it waits no longer than this, nor beyond the deadline
 * @returns who holds the lock now
 */
export async function giveWay(
  etcd: Etcd,
  options: { places: Places; waitMs: number; log: Log; deadline: Pick<Deadline, 'closing' | 'cut'> },
): Promise<Holder | undefined> {
  const { places, waitMs, log, deadline } = options;
  const { closing, cut: signal } = deadline;
  const query = both(currentHolder(places.lockKey), both(currentState(places), lastWanted(places)));
  const giveUpAtMs = performance.now() + waitMs;
  let freeSinceMs: number | undefined;
  for (let polls = 0; ; polls++) {
    const [holder, [state, wanted]] = await ask(etcd, 'look for a tick to make way for', query, { ...ACQUIRE, signal });
    const nowMs = performance.now();
    freeSinceMs = holder ? undefined : (freeSinceMs ?? nowMs);
    const isOver = freeSinceMs === undefined ? nowMs >= giveUpAtMs : nowMs >= freeSinceMs + FREE_MS;
    if (isOver || closing.aborted || !isOnItsWay(wanted, holder, state)) return holder;
    if (polls === 0) log.info('a tick is on its way for which a backfill has made way: waiting for it', { wanted });
    // An abort ends the pause.
    await sleep(POLL_MS, undefined, { signal: closing }).catch(() => undefined);
  }
}

/**
 * Whether a backfill makes way, or has made way last, for a tick that has not come since. A tick that found another tick's run in
 * its way is not on its way: nobody has sent it again, or it takes its turn like any other.
 */
export function isOnItsWay(
  wanted: Wanted | undefined,
  holder: Pick<Holder, 'kind' | 'createRevision'> | undefined,
  { run, backfill }: Pick<State, 'run' | 'backfill'>,
): boolean {
  if (!wanted) return false;
  const [tick, lastBackfill] = [run?.last.fencingToken ?? '0', backfill?.last.fencingToken ?? '0'];
  const wasSent = isLater(wanted.revision, lastBackfill) && isLater(lastBackfill, tick);
  if (!holder) return wasSent;
  // One that had queued before may have the lock now. The tick finds it in its way, and is sent again.
  return holder.kind === 'backfill' && (wasSent || isLater(wanted.revision, holder.createRevision));
}
