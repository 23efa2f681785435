import { randomUUID } from 'node:crypto';
import type { Etcd } from '../lock/etcd.ts';
import type { Operation } from '../lock/query.ts';
import type { Places } from '../state/places.ts';
import type { State } from '../state/state.ts';
import type { Deadline } from '../time/deadline.ts';
import { takeLock } from './acquire.ts';
import { lockedBy, type Skip } from './skip.ts';

/** A change of the fenced state by hand. */
export interface Change {
  /** What the holder of the lock is called meanwhile. */
  kind: string;
  /** The backfill that it changes, whose progress is read with the state. */
  backfillId?: string;
  /** @param state as of the moment at which the lock was taken */
  operations(state: State): Operation[];
}

/**
 * Changes a part of the timer's state. It is fenced, so it is changed under the lock, like a run would change it.
 * @returns why it was not changed, where somebody else holds the lock
 * @throws LockLostError, LockServiceError, StateError
 */
export async function changeState(
  etcd: Etcd,
  change: Change,
  options: { job: string; ttlSeconds: number; places: Places; requestId: string; deadline: Deadline },
): Promise<Skip | undefined> {
  const { job, ttlSeconds, places, requestId, deadline } = options;
  await using resources = new AsyncDisposableStack();
  const { backfillId } = change;
  const self = { runId: randomUUID(), kind: change.kind, startedAt: new Date().toISOString(), requestId, job };
  const taken = await takeLock(etcd, resources, { places, ttlSeconds, self, waitMs: 0, deadline, backfillId });
  if ('heldBy' in taken) return lockedBy(taken.heldBy, Date.now());
  const { session, lock, state } = taken;
  const operations = change.operations(state);
  // The key goes with the lease, when the resources are disposed of.
  const signal = AbortSignal.any([session.signal, deadline.cut]);
  if (operations.length > 0) await lock.save(operations, { ...session.budget(), signal });
  return;
}
