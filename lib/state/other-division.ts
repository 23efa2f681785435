import type { Budget, Etcd } from '../lock/etcd.ts';
import { describeHolder, type Holder } from '../lock/holder.ts';
import { ask, keyValue, type Operation, type Query } from '../lock/query.ts';
import { isOtherDivision, otherLocks, type Places } from './places.ts';

/** A range gives one lock; a few more, because keys that are no locks may lie before it. */
const KEYS_PER_RANGE = 10;

/** etcd takes 128 operations in a transaction by default, and as many in each one nested in it. */
const RANGES_PER_TRANSACTION = 100;

/**
 * Reads who holds a lock of a division into another number of shards, by its key alone; undefined where nobody does. The values
 * are left out, because each of so many may have 1.5 MB.
 */
export function otherDivision(places: Places): Query<Holder | undefined> {
  const reads = otherLocks(places).map((range) => ({
    request_range: { ...range, limit: KEYS_PER_RANGE, keys_only: true },
  }));
  return {
    operations: reads.length > RANGES_PER_TRANSACTION ? nested(reads) : reads,
    decode(answers) {
      for (const { response_range } of answers.flatMap((answer) => answer.response_txn?.responses ?? [answer])) {
        const { kvs, more, count } = response_range;
        const lock = kvs.find(({ key }) => isOtherDivision(key.toString(), places));
        // Where more keys follow that were not read, one of them may be a lock.
        const found = lock ?? (more ? kvs[0] : undefined);
        if (found) return describeHolder(found, Number(count));
      }
      return undefined;
    },
  };
}

/** Reads who it is that holds a lock of another division, found by its key; the lock may be gone by now. */
export async function withItsValue(etcd: Etcd, found: Holder, budget: Budget): Promise<Holder> {
  const key = await ask(etcd, 'read the holder', keyValue(Buffer.from(found.key)), budget);
  return key ? { ...describeHolder(key), ...found } : found;
}

function nested(operations: Operation[]): Operation[] {
  const parts: Operation[] = [];
  for (let at = 0; at < operations.length; at += RANGES_PER_TRANSACTION) {
    parts.push({ request_txn: { success: operations.slice(at, at + RANGES_PER_TRANSACTION) } });
  }
  return parts;
}
