import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LocalEtcd } from '../../infra/local/etcd/etcd.ts';

/** `etcdctl lock` in a process of its own. */
export interface Terminal extends AsyncDisposable {
  /** Resolves with the key once etcdctl has the lock; it then holds it until it is disposed of. */
  acquired: Promise<string>;
}

/** Takes the lock, or queues for it, as somebody in a terminal would. */
export function lockByHand(etcd: LocalEtcd, lockKey: string): Terminal {
  const child = etcd.spawnEtcdctl(['lock', '--ttl=30', lockKey]);
  const exited = once(child, 'exit');
  const line = once(createInterface({ input: child.stdout! }), 'line').then(([key]) => String(key));
  const ended = exited.then(([code]) => Promise.reject(new Error(`etcdctl lock ended early with ${code}`)));
  const acquired = Promise.race([line, ended]);
  // A caller that does not wait for the lock leaves both unhandled.
  for (const promise of [ended, acquired]) promise.catch(() => undefined);
  return {
    acquired,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await exited;
      // etcdctl deletes its key when it ends, but does not revoke its lease.
      const key = await acquired.catch(() => undefined);
      if (key) await etcd.etcdctl(['lease', 'revoke', key.slice(lockKey.length + 1)]);
    },
  };
}

/** The keys under the lock: the holder's and those of its queue. */
export async function lockKeys(etcd: LocalEtcd, lockKey: string): Promise<string[]> {
  const keys = await etcd.etcdctl([
    'get',
    `${lockKey}/`,
    '--prefix',
    '--keys-only',
    '--order=ASCEND',
    '--sort-by=CREATE',
  ]);
  return keys.split('\n').filter(Boolean);
}

/** Resolves with the keys under the lock once there are `count` of them. */
export async function untilKeys(etcd: LocalEtcd, lockKey: string, count: number): Promise<string[]> {
  const giveUpAtMs = performance.now() + 60_000;
  while (performance.now() < giveUpAtMs) {
    const keys = await lockKeys(etcd, lockKey);
    if (keys.length === count) return keys;
    await sleep(50);
  }
  throw new Error(`there were never ${count} keys under ${lockKey}`);
}

/** What a run must not leave behind. */
export async function leftBehind(etcd: LocalEtcd, lockKey: string): Promise<{ keys: string[]; leases: string[] }> {
  const lines = (await etcd.etcdctl(['lease', 'list'])).split('\n').map((line) => line.trim());
  return { keys: await lockKeys(etcd, lockKey), leases: lines.filter((line) => /^[0-9a-f]{8,}$/.test(line)) };
}

export const NOTHING = { keys: [], leases: [] };
