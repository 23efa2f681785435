import type { IKeyValue, IRequestOp, IResponseOp, ITxnRequest } from 'etcd3';
import { EtcdRefusal } from './etcd-refusal.ts';

type Bytes = Uint8Array | string | undefined;

/** The keys of a model of etcd. Its revision is counted by who owns it. */
export interface Keys {
  /** Applies the branch that the compares choose, as of `revision`, and writes as the one after it. @throws EtcdRefusal */
  txn(request: ITxnRequest, revision: number): { succeeded: boolean; responses: IResponseOp[]; wrote: boolean };
  inRange(key: Bytes, end: Bytes): IKeyValue[];
  /** Deletes the keys of a lease. @returns how many they were */
  deleteOf(lease: string): number;
  names(): string[];
  snapshot(): ReadonlyMap<string, IKeyValue>;
  restore(snapshot: ReadonlyMap<string, IKeyValue>): void;
}

/** The branch that a transaction takes. */
interface Path {
  succeeded: boolean;
  steps: { operation: IRequestOp; path: Path | undefined }[];
}

interface Applied {
  answer: IResponseOp;
  wrote: boolean;
}

const ABSENT = { create_revision: '0', mod_revision: '0', version: '0', lease: '0', value: Buffer.alloc(0) };

export const text = (bytes: Bytes) => Buffer.from(bytes ?? '').toString('latin1');
export const byCreation = (a: IKeyValue, b: IKeyValue) => Number(BigInt(a.create_revision) - BigInt(b.create_revision));

/** @param hasLease whether a lease exists */
export function createKeys(hasLease: (id: string) => boolean): Keys {
  /** By the key as Latin-1, whose order is that of the bytes. */
  let keys = new Map<string, IKeyValue>();

  function inRange(key: Bytes, end: Bytes): IKeyValue[] {
    const [from, to] = [text(key), text(end)];
    const found =
      to === '' ? [keys.get(from)] : [...keys].map(([name, kv]) => (name >= from && name < to ? kv : undefined));
    return found.filter((kv) => kv !== undefined).sort((a, b) => Buffer.compare(a.key, b.key));
  }

  function holds(compare: NonNullable<ITxnRequest['compare']>[number]) {
    const { target = 'Version', result = 'Equal' } = compare;
    const found = inRange(compare.key, compare.range_end);
    if (found.length === 0 && target === 'Value') return false;
    return (found.length > 0 ? found : [ABSENT]).every((kv) => {
      const order = orderOf(kv, compare);
      return { Equal: order === 0, Greater: order > 0, Less: order < 0, NotEqual: order !== 0 }[result as 'Equal'];
    });
  }

  /** Compares before anything is applied, in nested transactions as well. */
  function pathOf({ compare = [], success = [], failure = [] }: ITxnRequest): Path {
    const succeeded = compare.every(holds);
    const steps = (succeeded ? success : failure).map((operation) => ({
      operation,
      path: operation.request_txn && pathOf(operation.request_txn),
    }));
    return { succeeded, steps };
  }

  function follow({ succeeded, steps }: Path, revision: number) {
    const applied = steps.map(({ operation, path }) => apply(operation, path, revision));
    const responses = applied.map(({ answer }) => answer);
    return { succeeded, responses, wrote: applied.some(({ wrote }) => wrote) };
  }

  function apply(operation: IRequestOp, path: Path | undefined, revision: number): Applied {
    const { request_range: range, request_put: put, request_delete_range: remove } = operation;
    if (range) return answered('response_range', read(range), false);
    if (put) return answered('response_put', { prev_kv: write(put, revision) }, true);
    if (path) {
      const { wrote, ...answer } = follow(path, revision);
      return answered('response_txn', answer, wrote);
    }
    const removed = inRange(remove?.key, remove?.range_end);
    for (const { key } of removed) keys.delete(text(key));
    const prev_kvs = remove?.prev_kv ? removed : [];
    return answered('response_delete_range', { deleted: String(removed.length), prev_kvs }, removed.length > 0);
  }

  function read(range: NonNullable<IRequestOp['request_range']>) {
    const found = inRange(range.key, range.range_end);
    const descends = range.sort_order === 'Descend' ? -1 : 1;
    if (range.sort_target === 'Create') found.sort((a, b) => descends * byCreation(a, b));
    else if (descends === -1) found.reverse();
    const count = String(found.length);
    if (range.count_only) return { kvs: [], more: false, count };
    const limit = Number(range.limit ?? 0) || found.length;
    const kvs = found.slice(0, limit).map((kv) => (range.keys_only ? { ...kv, value: Buffer.alloc(0) } : kv));
    return { kvs, more: found.length > limit, count };
  }

  function write(put: NonNullable<IRequestOp['request_put']>, revision: number): IKeyValue | null {
    const name = text(put.key);
    const lease = String(put.lease ?? '0');
    if (lease !== '0' && !hasLease(lease)) throw new EtcdRefusal('5 NOT_FOUND: etcdserver: requested lease not found');
    const before = keys.get(name);
    const now = String(revision + 1);
    keys.set(name, {
      ...{ key: Buffer.from(name, 'latin1'), value: Buffer.from(put.value as Buffer), lease, mod_revision: now },
      create_revision: before?.create_revision ?? now,
      version: String(Number(before?.version ?? 0) + 1),
    });
    return (put.prev_kv && before) || null;
  }

  return {
    inRange,
    txn(request, revision) {
      const before = new Map(keys);
      try {
        return follow(pathOf(request), revision);
      } catch (error) {
        // A refused transaction leaves nothing behind.
        keys = before;
        throw error;
      }
    },
    deleteOf(lease) {
      const attached = [...keys].filter(([, kv]) => kv.lease === lease);
      for (const [name] of attached) keys.delete(name);
      return attached.length;
    },
    names: () => [...keys.keys()],
    snapshot: () => new Map(keys),
    restore(snapshot) {
      keys = new Map(snapshot);
    },
  };
}

const answered = (name: string, answer: object, wrote: boolean): Applied => ({
  answer: { response: name, [name]: answer } as unknown as IResponseOp,
  wrote,
});

function orderOf(kv: Omit<IKeyValue, 'key'>, wanted: NonNullable<ITxnRequest['compare']>[number]): number {
  const { target } = wanted;
  if (target === 'Value') return Buffer.compare(kv.value, Buffer.from(wanted.value ?? ''));
  const [is, asked] = {
    Create: [kv.create_revision, wanted.create_revision],
    Mod: [kv.mod_revision, wanted.mod_revision],
    Lease: [kv.lease, wanted.lease],
    Version: [kv.version, wanted.version],
  }[(target ?? 'Version') as 'Version'];
  return Number(BigInt(is ?? 0) - BigInt(asked ?? 0));
}
