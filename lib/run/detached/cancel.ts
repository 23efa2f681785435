import { EventError } from '../../errors.ts';
import type { Budget, Etcd } from '../../lock/etcd.ts';
import { grantLease } from '../../lock/lease.ts';
import { ask } from '../../lock/query.ts';
import type { Shard } from '../../shard.ts';
import { backfillOf, KEPT_SECONDS, putBackfill, putBackfillIds, putCancelled } from '../../state/backfills.ts';
import type { Places } from '../../state/places.ts';
import type { Change } from '../change-state.ts';

/**
 * Asks a detached backfill to end: a run of it that holds the lock reads that with its next checkpoint. Where nobody holds the
 * lock, the change that this gives ends it, so that one ends as well whose chain of events is broken.
 * @returns the changes, by shard
 * @throws EventError where no such backfill runs
 */
export async function cancelBackfill(
  etcd: Etcd,
  options: { id: string; jobStatePrefix: string; parts: { shard: Shard; places: Places }[]; budget: Budget },
): Promise<Map<Shard, Change>> {
  const { id, jobStatePrefix, parts, budget } = options;
  const changes = new Map<Shard, Change>();
  const ended = new Set<string>();
  const lease = await grantLease(etcd, KEPT_SECONDS, budget);
  for (const { shard, places } of parts) {
    const found = await ask(etcd, 'read the backfill', backfillOf(places.statePrefix, id), budget);
    const status = found?.progress.detached?.status;
    if (status === 'running') changes.set(shard, cancelling(places.statePrefix, id, lease));
    else if (status) ended.add(status);
  }
  if (changes.size > 0) {
    const cancelled = putCancelled(jobStatePrefix, id, new Date().toISOString(), lease);
    await etcd.txn('cancel the backfill', { success: [cancelled] }, budget);
    return changes;
  }
  await etcd.revoke(lease, budget);
  // It was cancelled before.
  if (ended.has('cancelled')) return changes;
  throw new EventError(
    ended.size > 0
      ? `backfill ${id} has ended already: ${[...ended].join(', ')}`
      : `there is no detached backfill ${id}`,
  );
}

const cancelling = (statePrefix: string, backfillId: string, lease: string): Change => ({
  kind: 'cancel-backfill',
  backfillId,
  operations({ backfillProgress: progress, backfillIds: ids }) {
    const detached = progress?.detached;
    // Its run may have ended since.
    if (detached?.status !== 'running') return [];
    const now = new Date().toISOString();
    const ended = { ...detached, status: 'cancelled' as const, updatedAt: now, endedAt: now };
    return [
      putBackfill(statePrefix, backfillId, { ...progress!, detached: ended }, lease),
      ...(ids ? [putBackfillIds(statePrefix, backfillId, ids, lease)] : []),
    ];
  },
});
