import { setTimeout as sleep } from 'node:timers/promises';
import { LockLostError } from '../errors.ts';
import type { Budget, Etcd } from './etcd.ts';
import { newLeaseId } from './lease.ts';

/** The clocks that a session reads; a test can step them. */
export interface Clock {
  /** Never goes back, but may stop while the machine sleeps. */
  monotonicMs(): number;
  /** Goes on while the machine sleeps, but may be set back or forth. */
  wallMs(): number;
}

const systemClock: Clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };

/**
 * A lease that is kept alive, with an expiry of our own that comes before etcd's.
 *
 *   alive ── every third of the TTL, etcd answers the keep-alive ──▶ alive
 *     ├── etcd does not know the lease, cannot be reached, or our expiry passes ──▶ lost: `signal` aborts, for good
 *     └── disposed of: the keep-alives stop, the lease is revoked ──▶ closed
 *
 *   await using session = await openSession(etcd, { ttlSeconds: 15, acquire: { attemptMs: 2000, totalMs: 5000 } });
 *   session.check();
 *   await etcd.txn('save', request, session.budget());
 */
export interface Session extends AsyncDisposable {
  /** Decimal, as etcd's API writes an int64. */
  readonly leaseId: string;
  /** Aborts with a LockLostError when the lease is lost or may have expired; never otherwise. */
  readonly signal: AbortSignal;
  /** @throws LockLostError once the lease may have expired. Cheap enough to call before every attempt of every write. */
  check(): void;
  /** A budget that ends a call while the lease is certainly ours. */
  budget(): Budget;
}

/**
 * Grants a lease and keeps it alive every third of its granted TTL until it is disposed of.
 *
 * The session expires at *last keep-alive sent* + granted TTL − margin; the margin is the larger of 1 s and a fifth of the
 * TTL, and time counts on the clock that has advanced further. etcd started the TTL after that keep-alive was sent, so
 * whatever `check()` lets through starts before etcd can give the lock away. An expired session stays expired, whatever
 * etcd answers later.
 *
 * @param options.toRevokeMs the time that the revoke at the end may take; it takes at most 1 s
 * @throws LockServiceError, CredentialsError; no lease is left behind then
 */
export async function openSession(
  etcd: Etcd,
  options: { ttlSeconds: number; acquire: Budget; clock?: Clock; toRevokeMs?: () => number },
): Promise<Session> {
  const { ttlSeconds, acquire, clock = systemClock, toRevokeMs = () => 1000 } = options;
  const lost = new AbortController();
  const closed = new AbortController();
  const stopped = AbortSignal.any([lost.signal, closed.signal]);
  const leaseId = newLeaseId();
  let sent = now(clock);
  const grantedMs = (await grant(etcd, leaseId, ttlSeconds, acquire)) * 1000;
  const validMs = grantedMs - Math.max(1000, grantedMs / 5);
  // Leaves time for several attempts: a silent node is given up after 2 s even if the TTL is long.
  const attemptMs = Math.min(grantedMs / 6, 2000);
  const remainingMs = () => validMs - elapsedMs(sent, now(clock));

  function lose(reason: string, cause?: unknown) {
    if (!lost.signal.aborted) lost.abort(new LockLostError(reason, { cause }));
  }

  function expire() {
    if (remainingMs() > 0) return;
    lose(`the lease of ${grantedMs / 1000} s was not renewed in time, so somebody else may hold the lock`);
  }

  function check() {
    expire();
    lost.signal.throwIfAborted();
  }

  async function keepAlive() {
    while (!stopped.aborted) {
      await sleep(grantedMs / 3, undefined, { signal: stopped, ref: false });
      const sending = now(clock);
      let ttl: number;
      try {
        ttl = await etcd.keepAlive(leaseId, { attemptMs, totalMs: remainingMs(), signal: stopped });
      } catch (error) {
        if (!stopped.aborted) lose('etcd could not be asked to keep the lease alive', error);
        return;
      }
      check();
      if (ttl <= 0) lose('etcd no longer knows the lease: it expired there or was revoked');
      else sent = sending;
    }
  }

  // Polls both clocks, because a timer alone follows the monotonic one.
  const watch = setInterval(expire, Math.min(250, validMs / 10));
  watch.unref();
  const keptAlive = keepAlive().catch(() => undefined);

  return {
    leaseId,
    signal: lost.signal,
    check,
    budget: () => ({ attemptMs, totalMs: Math.max(0, remainingMs()), signal: lost.signal }),
    async [Symbol.asyncDispose]() {
      if (closed.signal.aborted) return;
      closed.abort();
      clearInterval(watch);
      await keptAlive;
      // If the revoke takes longer than this, the lease ends by its TTL anyway.
      const totalMs = Math.min(1000, Math.max(0, toRevokeMs()));
      await etcd.revoke(leaseId, { attemptMs: 500, totalMs }).catch(() => undefined);
    },
  };
}

/** @returns the granted TTL in seconds */
async function grant(etcd: Etcd, leaseId: string, ttlSeconds: number, acquire: Budget): Promise<number> {
  try {
    const grantedSeconds = await etcd.grant(leaseId, ttlSeconds, acquire);
    if (grantedSeconds <= 0) throw new LockLostError('etcd lost the lease while it was being granted');
    return grantedSeconds;
  } catch (error) {
    await etcd.revoke(leaseId, { attemptMs: 500, totalMs: 500 }).catch(() => undefined);
    throw error;
  }
}

interface Moment {
  monotonicMs: number;
  wallMs: number;
}

const now = (clock: Clock): Moment => ({ monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() });

const elapsedMs = (from: Moment, to: Moment) => Math.max(to.monotonicMs - from.monotonicMs, to.wallMs - from.wallMs);
