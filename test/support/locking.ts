import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LocalEtcd } from '../../infra/local/etcd/etcd.ts';
import type { EtcdCredentials } from '../../lib/lock/endpoint.ts';
import { type Budget, connectEtcd, type Etcd } from '../../lib/lock/etcd.ts';
import type { Query } from '../../lib/lock/query.ts';
import { type Clock, openSession } from '../../lib/lock/session.ts';
import type { TcpProxy } from './tcp-proxy.ts';

/** The query of a contender that reads nothing along with the lock. */
export const nothing: Query<undefined> = { operations: [], decode: () => undefined };

/** An attempt takes as long as in a run. The total only keeps a test from hanging: on a busy machine attempts may fail. */
export const BUDGET: Budget = { attemptMs: 2000, totalMs: 30_000 };

/** A run's own budget before it has the lock, for tests in which etcd never answers. */
export const SHORT_BUDGET: Budget = { attemptMs: 2000, totalMs: 5000 };

/** A connection with a session on it; disposal ends both. `renewals` counts the keep-alives that etcd has answered. */
export async function openClient(
  endpoints: string[],
  options: { ttlSeconds?: number; clock?: Clock; credentials?: EtcdCredentials; acquire?: Budget } = {},
) {
  await using stack = new AsyncDisposableStack();
  const connection = stack.use(connectEtcd(endpoints, options.credentials));
  const { ttlSeconds = 60, clock, acquire = BUDGET } = options;
  let renewals = 0;
  const etcd: Etcd = {
    ...connection,
    async keepAlive(...call) {
      const ttl = await connection.keepAlive(...call);
      renewals++;
      return ttl;
    },
  };
  const session = stack.use(await openSession(etcd, { ttlSeconds, acquire, ...(clock && { clock }) }));
  const owned = stack.move();
  return { etcd, session, renewals: () => renewals, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A clock that stands still until the test steps it. */
export function steppedClock() {
  const at = { monotonicMs: 1_000_000, wallMs: 2_000_000_000_000 };
  return {
    monotonicMs: () => at.monotonicMs,
    wallMs: () => at.wallMs,
    step(by: { monotonicMs?: number; wallMs?: number }) {
      at.monotonicMs += by.monotonicMs ?? 0;
      at.wallMs += by.wallMs ?? 0;
    },
  };
}

/** A session's lease id as etcdctl prints it. */
export const hex = (leaseId: string) => BigInt(leaseId).toString(16);

/** The ids of all leases, in hex. */
export async function leasesOf(server: LocalEtcd, flags: string[] = []): Promise<string[]> {
  const printed = await server.etcdctl([...flags, 'lease', 'list']);
  return printed.split('\n').flatMap((line) => /^0*([0-9a-f]+)$/.exec(line)?.[1] ?? []);
}

/** The keys with this prefix, oldest first. */
export async function keysOf(server: LocalEtcd, prefix: string, flags: string[] = []): Promise<string[]> {
  const args = [...flags, 'get', prefix, '--prefix', '--keys-only', '--sort-by=CREATE', '--order=ASCEND'];
  return (await server.etcdctl(args)).split('\n').filter((line) => line !== '');
}

/** Polls until it holds. @throws after a minute, so that a test that hangs ends */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpAtMs = performance.now() + 60_000;
  while (!(await holds())) {
    assert.ok(performance.now() < giveUpAtMs, `waited in vain: ${what}`);
    await sleep(20);
  }
}

/**
 * Makes a call whose answer is lost on the way back: holds back what etcd sends, waits until the call has `landed` there,
 * and resets the connection. The connection must be open already, because a new one waits for etcd's greeting.
 */
export async function loseAnswer<T>(proxy: TcpProxy, call: () => Promise<T>, landed: () => Promise<boolean>) {
  proxy.mode = 'half-open';
  const result = call();
  result.catch(() => undefined);
  await until('the call has landed', landed);
  proxy.cut();
  proxy.mode = 'pass';
  return await result;
}

/** What a promise rejects with. */
export async function failureOf(work: Promise<unknown>): Promise<Error> {
  return await work.then(
    () => assert.fail('it did not fail'),
    (error) => error,
  );
}
