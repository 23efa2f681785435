import type { Budget, Etcd } from '../lock/etcd.ts';
import type { Holder } from '../lock/holder.ts';
import type { Places } from './places.ts';
import { putState } from './state.ts';
import { putValue } from './values.ts';
import { type Wanting, wantedKey } from './wanted.ts';

/**
 * Counts one more tick that found the lock held, and notes it as the one that is wanted. Both are put without the lock. A key's
 * version counts its puts, so this is one call.
 * @param heldBy counts only while this holder's key is there; undefined counts whoever holds the lock
 * @returns the number of such ticks in a row, this one included; undefined where the holder is gone
 */
export async function countSkip(
  etcd: Etcd,
  places: Pick<Places, 'statePrefix'>,
  tick: Wanting,
  heldBy: Pick<Holder, 'key' | 'createRevision'> | undefined,
  budget: Budget,
): Promise<number | undefined> {
  const { runId, at } = tick;
  const { request_put } = putState(places.statePrefix, 'skips', { runId, at });
  const answer = await etcd.txn(
    'count the skip',
    {
      compare: heldBy
        ? [{ key: Buffer.from(heldBy.key), target: 'Create', result: 'Equal', create_revision: heldBy.createRevision }]
        : [],
      success: [{ request_put: { ...request_put, prev_kv: true } }, putValue(wantedKey(places), tick)],
    },
    budget,
  );
  if (!answer.succeeded) return undefined;
  return Number(answer.responses[0]?.response_put.prev_kv?.version ?? 0) + 1;
}
