/**
 * A process with several clients that all try the same lock at the moment that an order names. The winner keeps it until
 * the order to release it. Arguments: comma-separated endpoints, the number of clients, their TTL in seconds.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Lock, tryLock } from '../../lib/lock/mutex.ts';
import { BUDGET, nothing, openClient } from './locking.ts';
import type { Order, Result } from './race.ts';

const [endpoints = '', count, ttl] = process.argv.slice(2);
const clients = await Promise.all(
  Array.from({ length: Number(count) }, () => openClient(endpoints.split(','), { ttlSeconds: Number(ttl) })),
);
let held: { lock: Lock; lockKey: string } | undefined;

async function race(lockKey: string, startAtMs: number): Promise<Result[]> {
  await sleep(Math.max(0, startAtMs - Date.now()));
  const attempts = clients.map(({ etcd, session }) => tryLock(etcd, session, { lockKey, value: '', read: nothing }));
  return (await Promise.all(attempts)).map((attempt) => {
    if ('heldBy' in attempt) return { won: false, token: attempt.heldBy.createRevision };
    held = { lock: attempt.lock, lockKey };
    return { won: true, token: attempt.lock.fencingToken };
  });
}

async function release(): Promise<Result[]> {
  if (held) {
    const { lock, lockKey } = held;
    const record = { key: Buffer.from(`${lockKey}-run`), value: Buffer.from(lock.fencingToken) };
    await lock.unlock([{ request_put: record }], BUDGET);
  }
  held = undefined;
  return [];
}

process.on('message', async (order: Order) => {
  process.send?.('lockKey' in order ? await race(order.lockKey, order.startAtMs) : await release());
});
process.on('disconnect', () => process.exit());
process.send?.('ready');
