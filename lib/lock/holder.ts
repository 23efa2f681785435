import type { IKeyValue, IRequestOp, IResponseOp } from 'etcd3';

/** Who holds a lock, as far as its key tells: the value that Go and `etcdctl lock` leave is empty. */
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

/** The operation that reads the holder: the lowest create revision, not the first key. */
export function readHolder(lockKey: string): IRequestOp {
  return { request_range: { ...keysUnder(lockKey), sort_target: 'Create', sort_order: 'Ascend', limit: 1 } };
}

/** What `readHolder` found; undefined when the lock is free. */
export function holderOf(answer: IResponseOp | undefined): Holder | undefined {
  const first = answer?.response_range.kvs[0];
  return first && describeHolder(first);
}

/** What a lock's key tells of its holder. */
export function describeHolder(first: IKeyValue): Holder {
  return {
    ...told(first.value.toString()),
    key: first.key.toString(),
    leaseId: hex(first.lease),
    createRevision: first.create_revision,
  };
}

/** The strings of our own value; whatever else a foreign holder wrote tells nothing. */
function told(value: string): Partial<Holder> {
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
