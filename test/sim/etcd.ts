import type { IKeyValue, ITxnRequest, ITxnResponse } from 'etcd3';
import { byCreation, createKeys, text } from './etcd-keys.ts';
import { EtcdRefusal } from './etcd-refusal.ts';
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
  /** The leases that the last restore brought back. */
  readonly restored: ReadonlySet<string>;
  /** The key under the lock that was created first. */
  owner(lockKey: string): IKeyValue | undefined;
  value(key: string): unknown;
  readonly leases: ReadonlyMap<string, { ttlSeconds: number; endsAtMs: number }>;
  keysUnder(prefix: string): string[];
}

interface Snapshot {
  revision: number;
  keys: ReadonlyMap<string, IKeyValue>;
  leases: ReadonlyMap<string, { ttlSeconds: number; endsAtMs: number }>;
}

/** etcd's own minimum, 1.5 times its election time-out. */
const MIN_TTL_SECONDS = 2;

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
  let leases = new Map<string, { ttlSeconds: number; endsAtMs: number }>();
  let restores = 0;
  let restored: ReadonlySet<string> = new Set();
  const keys = createKeys((id) => leases.has(id));

  function revoke(id: string) {
    if (!leases.delete(id)) throw new EtcdRefusal('5 NOT_FOUND: etcdserver: requested lease not found');
    if (keys.deleteOf(id) > 0) revision++;
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
      if (writesTwice(request))
        throw new EtcdRefusal('3 INVALID_ARGUMENT: etcdserver: duplicate key given in txn request');
      const { wrote, ...answer } = keys.txn(request, revision);
      if (wrote) revision++;
      const header = { cluster_id: '1', member_id: '1', revision: String(revision), raft_term: '2' };
      return { header, ...answer };
    },
    grant(id, ttlSeconds) {
      if (leases.has(id)) throw new EtcdRefusal('9 FAILED_PRECONDITION: etcdserver: lease already exists');
      return renew(id, Math.max(MIN_TTL_SECONDS, ttlSeconds));
    },
    keepAlive: (id) => (leases.has(id) ? renew(id, leases.get(id)!.ttlSeconds) : 0),
    revoke,
    timeToLive: (id) => (leases.has(id) ? Math.floor((leases.get(id)!.endsAtMs - nowMs()) / 1000) : -1),
    snapshot: () => ({ revision, keys: keys.snapshot(), leases: new Map(leases) }),
    restore(snapshot, { bumpRevision }) {
      restores++;
      revision = bumpRevision ? revision + 1_000_000 : snapshot.revision;
      keys.restore(snapshot.keys);
      leases = new Map();
      restored = new Set(snapshot.leases.keys());
      for (const [id, { ttlSeconds }] of snapshot.leases) renew(id, ttlSeconds);
    },
    get restores() {
      return restores;
    },
    get restored() {
      return restored;
    },
    owner: (lockKey) => keys.inRange(`${lockKey}/`, `${lockKey}0`).sort(byCreation)[0],
    value(key) {
      const [found] = keys.inRange(key, undefined);
      return found && JSON.parse(found.value.toString());
    },
    get leases() {
      return leases;
    },
    keysUnder: (prefix) => keys.names().filter((name) => name.startsWith(text(prefix))),
  };
}
