import type { IKeyValue } from 'etcd3';
import { bounded } from '../bounded.ts';
import type { Query } from './query.ts';

/** Who holds a lock, as far as its key says: the value that Go and `etcdctl lock` leave is empty. */
export interface Holder {
  runId?: string;
  kind?: string;
  startedAt?: string;
  host?: string;
  requestId?: string;
  /** The backfill that a run by hand goes on with. */
  backfillId?: string;
  /** Its step, where that is a detached one. */
  step?: number;
  /** The whole key; a program that is not ours may have put any key under the lock. */
  key: string;
  /** Lower-case hex, as `etcdctl` prints it; 0 for a key without a lease. */
  leaseId: string;
  createRevision: string;
  /** How many keys more lie under the lock: they wait for it, or block it later. Absent where there are none. */
  waiting?: number;
}

/** The most bytes of a text that a holder's value gives. */
const MAX_PART_BYTES = 200;

/** Reads the first key under the lock by create revision; undefined when the lock is free. */
export const firstKey = (lockKey: string): Query<IKeyValue | undefined> => ({
  operations: [{ request_range: { ...keysUnder(lockKey), sort_target: 'Create', sort_order: 'Ascend', limit: 1 } }],
  decode: ([answer]) => answer?.response_range.kvs[0],
});

/** Reads the holder of the lock; undefined when the lock is free. */
export function currentHolder(lockKey: string): Query<Holder | undefined> {
  const { operations, decode } = firstKey(lockKey);
  return {
    operations,
    decode(answers) {
      const first = decode(answers);
      // etcd counts all keys of the range, whatever the limit.
      return first && describeHolder(first, Number(answers[0]?.response_range.count));
    },
  };
}

/**
 * What a lock's key says about its holder.
 * @param count the number of keys under the lock, where it is known
 */
export function describeHolder(key: IKeyValue, count = 1): Holder {
  return {
    ...parseValue(key.value.toString()),
    key: key.key.toString(),
    leaseId: hex(key.lease),
    createRevision: key.create_revision,
    ...(count > 1 && { waiting: count - 1 }),
  };
}

/** Takes the strings and the step of our own value, and nothing of whatever else a foreign holder wrote. */
function parseValue(value: string): Partial<Holder> {
  try {
    const { runId, kind, startedAt, host, requestId, backfillId, step } = JSON.parse(value);
    const texts = Object.entries({ runId, kind, startedAt, host, requestId, backfillId }).flatMap(([name, part]) =>
      typeof part === 'string' ? [[name, bounded(part, MAX_PART_BYTES)]] : [],
    );
    return { ...Object.fromEntries(texts), ...(Number.isSafeInteger(step) && { step }) };
  } catch {
    return {};
  }
}

/** All keys under `<lockKey>/`; '0' is the character after '/'. */
export const keysUnder = (lockKey: string) => ({
  key: Buffer.from(`${lockKey}/`),
  range_end: Buffer.from(`${lockKey}0`),
});

/** Go's `%x` of a lease id, an int64: a negative one is written with its sign. */
export const hex = (leaseId: string) => BigInt(leaseId).toString(16);

/** The lease id that `hex` wrote. */
export const unhex = (leaseId: string) =>
  (leaseId.startsWith('-') ? -BigInt(`0x${leaseId.slice(1)}`) : BigInt(`0x${leaseId}`)).toString();
