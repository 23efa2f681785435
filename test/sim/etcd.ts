import type { IKeyValue, IRequestOp, IResponseOp, ITxnRequest, ITxnResponse } from 'etcd3';
import { writesTwice } from './etcd-writes.ts';

/** A model of etcd: as much of it as `lib/lock` asks of it, in one place and without time of its own. */
export interface ModelEtcd {
  txn(request: ITxnRequest): ITxnResponse;
  /** @returns the granted TTL in seconds */
  grant(id: string, ttlSeconds: number): number;
  /** @returns the TTL in seconds; 0 for a lease that it does not know */
  keepAlive(id: string): number;
  revoke(id: string): void;
  /** @returns the seconds that are left; -1 for a lease that it does not know */
  timeToLive(id: string): number;
  snapshot(): Snapshot;
  /** Goes back to a snapshot: leases begin anew, and what happened since then never did. */
  restore(snapshot: Snapshot, options: { bumpRevision: boolean }): void;
  /** The number of restores so far: what was promised before one of them need not hold after it. */
  readonly restores: number;
  /** The key under the lock that was created first. */
  owner(lockKey: string): IKeyValue | undefined;
  value(key: string): unknown;
  readonly leases: ReadonlyMap<string, { ttlSeconds: number; endsAtMs: number }>;
  keysUnder(prefix: string): string[];
}

interface Snapshot {
  revision: number;
  keys: Map<string, IKeyValue>;
  leases: Map<string, { ttlSeconds: number; endsAtMs: number }>;
}

/** The branch that a transaction takes. */
interface Path {
  succeeded: boolean;
  steps: Step[];
}

interface Step {
  operation: IRequestOp;
  path: Path | undefined;
}

/** An error as gRPC words it. */
export class EtcdRefusal extends Error {}

const DUPLICATE_KEY = '3 INVALID_ARGUMENT: etcdserver: duplicate key given in txn request';
const byCreation = (a: IKeyValue, b: IKeyValue) => Number(BigInt(a.create_revision) - BigInt(b.create_revision));

/** etcd's own minimum, 1.5 times its election time-out. */
const MIN_TTL_SECONDS = 2;
const ABSENT = { create_revision: '0', mod_revision: '0', version: '0', lease: '0', value: Buffer.alloc(0) };

/**
 * @param options.nowMs etcd's clock, which its leases go by
 * @param options.expired is told of each lease that has ended because nobody kept it alive
 */
export function createModelEtcd(options: {
  nowMs: () => number;
  at: (ms: number, act: () => void) => void;
  expired: (id: string) => void;
  /** By default that of an etcd in which nothing has been written. */
  revision?: number;
}): ModelEtcd {
  const { nowMs, at, expired } = options;
  let { revision = 1 } = options;
  /** By the key as Latin-1, whose order is that of the bytes. */
  let keys = new Map<string, IKeyValue>();
  let leases: Snapshot['leases'] = new Map();
  let restores = 0;

  const header = () => ({ cluster_id: '1', member_id: '1', revision: String(revision), raft_term: '2' });
  const text = (bytes: Uint8Array | string | undefined) => Buffer.from(bytes ?? '').toString('latin1');

  function inRange(key: Uint8Array | string | undefined, end: Uint8Array | string | undefined): IKeyValue[] {
    const [from, to] = [text(key), text(end)];
    const found =
      to === '' ? [keys.get(from)] : [...keys].map(([name, kv]) => (name >= from && name < to ? kv : undefined));
    return found.filter((kv) => kv !== undefined).sort((a, b) => Buffer.compare(a.key, b.key));
  }

  function holds({
    key,
    range_end,
    target = 'Version',
    result = 'Equal',
    ...wanted
  }: NonNullable<ITxnRequest['compare']>[number]) {
    const found = inRange(key, range_end);
    const order = (kv: Omit<IKeyValue, 'key'>) => {
      if (target === 'Value') return Buffer.compare(kv.value, Buffer.from(wanted.value ?? ''));
      const [is, asked] =
        target === 'Create'
          ? [kv.create_revision, wanted.create_revision]
          : target === 'Mod'
            ? [kv.mod_revision, wanted.mod_revision]
            : target === 'Lease'
              ? [kv.lease, wanted.lease]
              : [kv.version, wanted.version];
      return Number(BigInt(is) - BigInt(asked ?? 0));
    };
    if (found.length === 0 && target === 'Value') return false;
    return (found.length > 0 ? found : [ABSENT]).every((kv) => {
      const difference = order(kv);
      return { Equal: difference === 0, Greater: difference > 0, Less: difference < 0, NotEqual: difference !== 0 }[
        result as 'Equal'
      ];
    });
  }

  function apply({ operation, path }: Step, writing: number): { answer: IResponseOp; wrote: boolean } {
    const { request_range: range, request_put: put, request_delete_range: remove } = operation;
    const answered = (name: string, answer: object, wrote: boolean) => ({
      answer: { response: name, [name]: { header: header(), ...answer } } as unknown as IResponseOp,
      wrote,
    });
    if (range) {
      const found = inRange(range.key, range.range_end);
      const descends = range.sort_order === 'Descend' ? -1 : 1;
      if (range.sort_target === 'Create') found.sort((a, b) => descends * byCreation(a, b));
      else if (descends === -1) found.reverse();
      const count = String(found.length);
      const limit = Number(range.limit ?? 0) || found.length;
      if (range.count_only) return answered('response_range', { kvs: [], more: false, count }, false);
      const kvs = found.slice(0, limit).map((kv) => (range.keys_only ? { ...kv, value: Buffer.alloc(0) } : kv));
      return answered('response_range', { kvs, more: found.length > limit, count }, false);
    }
    if (put) {
      const name = text(put.key);
      const lease = String(put.lease ?? '0');
      if (lease !== '0' && !leases.has(lease))
        throw new EtcdRefusal('5 NOT_FOUND: etcdserver: requested lease not found');
      const before = keys.get(name);
      const now = String(writing);
      keys.set(name, {
        ...{ key: Buffer.from(name, 'latin1'), value: Buffer.from(put.value as Buffer), lease, mod_revision: now },
        create_revision: before?.create_revision ?? now,
        version: String(Number(before?.version ?? 0) + 1),
      });
      return answered('response_put', { prev_kv: (put.prev_kv && before) || null }, true);
    }
    if (path) {
      const { succeeded, steps } = path;
      const applied = steps.map((step) => apply(step, writing));
      const responses = applied.map(({ answer }) => answer);
      return answered(
        'response_txn',
        { succeeded, responses },
        applied.some(({ wrote }) => wrote),
      );
    }
    const removed = inRange(remove?.key, remove?.range_end);
    for (const { key } of removed) keys.delete(text(key));
    return answered(
      'response_delete_range',
      { deleted: String(removed.length), prev_kvs: remove?.prev_kv ? removed : [] },
      removed.length > 0,
    );
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

  function revoke(id: string) {
    if (!leases.delete(id)) throw new EtcdRefusal('5 NOT_FOUND: etcdserver: requested lease not found');
    const attached = [...keys].filter(([, { lease }]) => lease === id);
    for (const [name] of attached) keys.delete(name);
    if (attached.length > 0) revision++;
  }

  /** Sees to it that the lease ends in time. */
  function watch(id: string, endsAtMs: number) {
    at(endsAtMs, () => {
      if (leases.get(id)?.endsAtMs !== endsAtMs) return;
      expired(id);
      revoke(id);
    });
  }

  function renew(id: string, ttlSeconds: number) {
    const endsAtMs = nowMs() + ttlSeconds * 1000;
    leases.set(id, { ttlSeconds, endsAtMs });
    watch(id, endsAtMs);
    return ttlSeconds;
  }

  return {
    txn(request) {
      if (writesTwice(request)) throw new EtcdRefusal(DUPLICATE_KEY);
      const { succeeded, steps } = pathOf(request);
      // A refused transaction leaves nothing behind.
      const before = new Map(keys);
      try {
        const applied = steps.map((step) => apply(step, revision + 1));
        if (applied.some(({ wrote }) => wrote)) revision++;
        return { header: header(), succeeded, responses: applied.map(({ answer }) => answer) };
      } catch (error) {
        keys = before;
        throw error;
      }
    },
    grant(id, ttlSeconds) {
      if (leases.has(id)) throw new EtcdRefusal('9 FAILED_PRECONDITION: etcdserver: lease already exists');
      return renew(id, Math.max(MIN_TTL_SECONDS, ttlSeconds));
    },
    keepAlive: (id) => (leases.has(id) ? renew(id, leases.get(id)!.ttlSeconds) : 0),
    revoke,
    timeToLive: (id) => (leases.has(id) ? Math.floor((leases.get(id)!.endsAtMs - nowMs()) / 1000) : -1),
    snapshot: () => ({ revision, keys: new Map(keys), leases: new Map(leases) }),
    restore(snapshot, { bumpRevision }) {
      restores++;
      revision = bumpRevision ? revision + 1_000_000 : snapshot.revision;
      keys = new Map(snapshot.keys);
      leases = new Map();
      for (const [id, { ttlSeconds }] of snapshot.leases) renew(id, ttlSeconds);
    },
    get restores() {
      return restores;
    },
    owner: (lockKey) => inRange(`${lockKey}/`, `${lockKey}0`).sort(byCreation)[0],
    value(key) {
      const found = keys.get(text(key));
      return found && JSON.parse(found.value.toString());
    },
    get leases() {
      return leases;
    },
    keysUnder: (prefix) => [...keys.keys()].filter((name) => name.startsWith(text(prefix))),
  };
}
