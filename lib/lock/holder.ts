import type { IKeyValue } from 'etcd3';
import type { Query } from './query.ts';

/** Who holds a lock, as far as its key says: the value that Go and `etcdctl lock` leave is empty. */
export interface Holder {
  runId?: string;
  kind?: string;
  startedAt?: string;
  host?: string;
  requestId?: string;
  /** The whole key; a program that is not ours may have put any key under the lock. */
  key: string;
  /** Lower-case hex, as `etcdctl` prints it; 0 for a key without a lease. */
  leaseId: string;
  createRevision: string;
}

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
      return first && describeHolder(first);
    },
  };
}

/** What a lock's key says about its holder. */
export function describeHolder(key: IKeyValue): Holder {
  return {
    ...parseValue(key.value.toString()),
    key: key.key.toString(),
    leaseId: hex(key.lease),
    createRevision: key.create_revision,
  };
}

/** Takes the strings of our own value, and nothing of whatever else a foreign holder wrote. */
function parseValue(value: string): Partial<Holder> {
  try {
    const { runId, kind, startedAt, host, requestId } = JSON.parse(value);
    return Object.fromEntries(
      Object.entries({ runId, kind, startedAt, host, requestId }).filter(([, part]) => typeof part === 'string'),
    );
  } catch {
    return {};
  }
}

/** All keys under `<lockKey>/`; '0' is the character after '/'. */
export const keysUnder = (lockKey: string) => ({
  key: Buffer.from(`${lockKey}/`),
  range_end: Buffer.from(`${lockKey}0`),
});

/** Go's `%x` of a lease id. */
export const hex = (leaseId: string) => BigInt(leaseId).toString(16);
