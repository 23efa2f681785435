import { hostname } from 'node:os';
import { CredentialsError } from '../errors.ts';
import { type Budget, connectEtcd, type Etcd } from '../lock/etcd.ts';
import { currentHolder, type Holder } from '../lock/holder.ts';
import { grantLease } from '../lock/lease.ts';
import { type Lock, lock, tryLock } from '../lock/mutex.ts';
import { ask, both } from '../lock/query.ts';
import { openSession, type Session } from '../lock/session.ts';
import { checkClearText } from '../settings/clear-text.ts';
import type { Settings } from '../settings/config.ts';
import type { Credentials } from '../settings/secrets.ts';
import { withItsValue } from '../state/other-division.ts';
import type { Places } from '../state/places.ts';
import { currentState, type State } from '../state/state.ts';
import { orAborted } from '../time/abort.ts';
import { type Deadline, msBeforeAnswer } from '../time/deadline.ts';

/** Before the lock there is no lease to keep, but an answer that takes longer than this is no answer. */
export const ACQUIRE: Budget = { attemptMs: 2000, totalMs: 5000 };

/**
 * Connects and makes the one read that decides most skips. Refused credentials of etcd are renewed here, once: nothing has
 * been taken yet.
 * @throws SettingsError where the connection would send them in clear text
 */
export async function look(options: {
  settings: Pick<Settings, 'etcdEndpoints' | 'etcdAllowInsecureAuth'>;
  places: Places;
  credentials: Credentials;
  /** The backfill whose progress is read as well. */
  backfillId?: string | undefined;
  /** Own the connection. */
  resources: AsyncDisposableStack;
  signal: AbortSignal;
}): Promise<{ etcd: Etcd; holder: Holder | undefined; state: State }> {
  const { settings, places, credentials, backfillId, resources, signal } = options;
  const connectAndRead = async () => {
    const secret = credentials.current().etcd;
    checkClearText(settings, secret);
    const etcd = resources.use(connectEtcd(settings.etcdEndpoints, secret));
    const lockAndState = both(currentHolder(places.lockKey), currentState(places, { backfillId }));
    const budget = { ...ACQUIRE, signal };
    const [holder, state] = await ask(etcd, 'read lock and state', lockAndState, budget);
    const { otherDivision } = state;
    if (otherDivision) state.otherDivision = await withItsValue(etcd, otherDivision, budget);
    return { etcd, holder, state };
  };
  try {
    return await connectAndRead();
  } catch (error) {
    if (!(error instanceof CredentialsError)) throw error;
    await credentials.renew(credentials.current(), signal, error);
    return await connectAndRead();
  }
}

/** The lock is ours for as long as the session lives. `state` is that of the moment it was taken. */
export interface Taken {
  session: Session;
  lock: Lock;
  state: State;
  /** Grants a lease that nobody keeps alive. @returns its id */
  grant(seconds: number): Promise<string>;
}

/**
 * Opens a session and takes the lock, or waits for it for at most `waitMs`. The session of a lock that was taken belongs to
 * `resources`: its end revokes the lease, and a key that is still there goes with it.
 */
export async function takeLock(
  etcd: Etcd,
  resources: AsyncDisposableStack,
  options: {
    places: Places;
    ttlSeconds: number;
    /** Who we are, for runs that find the lock held. */
    self: { runId: string; kind: string; startedAt: string; requestId: string; job: string; step?: number | undefined };
    waitMs: number;
    deadline: Pick<Deadline, 'closing' | 'cut' | 'endsInMs'>;
    /** The backfill whose progress is read as well. */
    backfillId?: string | undefined;
  },
): Promise<Taken | { heldBy: Holder }> {
  const { places, ttlSeconds, self, waitMs, deadline, backfillId } = options;
  const { closing: signal } = deadline;
  const acquire = { ...ACQUIRE, signal };
  const toRevokeMs = () => msBeforeAnswer(deadline.endsInMs());
  await using attempting = new AsyncDisposableStack();
  const session = attempting.use(await openSession(etcd, { ttlSeconds, acquire, toRevokeMs }));
  const value = JSON.stringify({ ...self, backfillId, host: hostname() });
  const wanted = { lockKey: places.lockKey, value, read: currentState(places, { underLock: true, backfillId }) };
  // At the deadline nobody waits for the attempt any more: if it still reaches etcd, the lease is revoked by then.
  const attempt =
    waitMs > 0
      ? await orAborted(lock(etcd, session, { ...wanted, waitMs, signal }), deadline.cut)
      : await orAborted(tryLock(etcd, session, wanted), signal);
  if ('heldBy' in attempt) return attempt;
  resources.use(attempting.move());
  const grant = (seconds: number) => grantLease(etcd, seconds, session.budget());
  return { session, lock: attempt.lock, state: attempt.found, grant };
}
