import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { LockLostError } from '../errors.ts';
import type { Budget, Etcd } from './etcd.ts';

/** Where the session reads the time; given to it, so that a test can step it. */
export interface Clock {
  /** Never goes back, but may stand still while the machine sleeps. */
  monotonicMs(): number;
  /** Goes on while the machine sleeps, but may be set. */
  wallMs(): number;
}

const systemClock: Clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };

/** A lease that is kept alive, and an expiry of our own that comes before etcd's. */
export interface Session extends AsyncDisposable {
  /** Decimal, as etcd's API writes an int64. */
  readonly leaseId: string;
  /** Aborts with a LockLostError when the lease is lost or can have expired; never otherwise. */
  readonly signal: AbortSignal;
  /** @throws LockLostError once the lease can have expired. Cheap enough to call before every attempt of every write. */
  check(): void;
  /** The budget of a call that has to end while the lease is certainly ours. */
  budget(): Budget;
}

/**
 * Grants a lease and keeps it alive every third of its granted TTL until it is disposed of, which revokes it.
 *
 * The session expires at *last keepalive sent* + granted TTL − margin, where the margin is the larger of 1 s and a fifth
 * of the TTL; time counts on whichever of the two clocks has advanced further. etcd started the TTL after that keepalive
 * was sent, so nothing that `check()` let through starts after etcd can have given the lock away. An expired session
 * stays expired, whatever etcd answers later.
 *
 * @throws LockServiceError, CredentialsError; no lease is left behind then.
 */
export async function openSession(
  etcd: Etcd,
  options: { ttlSeconds: number; acquire: Budget; clock?: Clock },
): Promise<Session> {
  const { ttlSeconds, acquire, clock = systemClock } = options;
  const lost = new AbortController();
  const closed = new AbortController();
  const stopped = AbortSignal.any([lost.signal, closed.signal]);
  // Our own choice of id (63 random bits) makes the grant repeatable, and revocable when its answer never came.
  const leaseId = (randomBytes(8).readBigUInt64BE() >> 1n || 1n).toString();

  let sent = now(clock);
  let grantedMs: number;
  try {
    grantedMs = (await etcd.grant(leaseId, ttlSeconds, acquire)) * 1000;
    if (grantedMs <= 0) throw new LockLostError('etcd lost the lease while it was being granted');
  } catch (error) {
    await etcd.revoke(leaseId, { attemptMs: 500, totalMs: 500 }).catch(() => undefined);
    throw error;
  }
  const validMs = grantedMs - Math.max(1000, grantedMs / 5);
  // A short TTL leaves time for several attempts, and so does a long one: a silent node is given up after 2 s.
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

  // Looks at both clocks often, because a timer alone follows the monotonic one.
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
      await etcd.revoke(leaseId, { attemptMs: 500, totalMs: 1000 }).catch(() => undefined);
    },
  };
}

interface Moment {
  monotonicMs: number;
  wallMs: number;
}

const now = (clock: Clock): Moment => ({ monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() });

const elapsedMs = (from: Moment, to: Moment) => Math.max(to.monotonicMs - from.monotonicMs, to.wallMs - from.wallMs);
