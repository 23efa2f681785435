import { hostname } from 'node:os';
import { CredentialsError } from '../errors.ts';
import { type Budget, connectEtcd, type Etcd } from '../lock/etcd.ts';
import { type Holder, holderOf, readHolder } from '../lock/holder.ts';
import { type Lock, lock, tryLock } from '../lock/mutex.ts';
import { openSession, type Session } from '../lock/session.ts';
import type { Settings } from '../settings/config.ts';
import type { Credentials } from '../settings/secrets.ts';
import { readState, type State, stateOf } from '../state/state.ts';
import { orAborted } from '../time/abort.ts';
import type { Deadline } from '../time/deadline.ts';

/** Before the lock there is no lease to keep, but an answer that takes longer than this is no answer. */
export const ACQUIRE: Budget = { attemptMs: 2000, totalMs: 5000 };

/**
 * Connects and makes the one read that decides most skips. etcd's credentials are renewed here once, if they are refused:
 * nothing has been taken yet.
 */
export async function look(
  settings: Settings,
  credentials: Credentials,
  resources: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<{ etcd: Etcd; holder: Holder | undefined; state: State }> {
  const connectAndRead = async () => {
    const etcd = resources.use(connectEtcd(settings.etcdEndpoints, credentials.current().etcd));
    const reads = [readHolder(settings.lockKey), ...readState(settings)];
    const answer = await etcd.txn('read lock and state', { success: reads }, { ...ACQUIRE, signal });
    const [holder, ...state] = answer.responses;
    return { etcd, holder: holderOf(holder), state: stateOf(settings, state) };
  };
  try {
    return await connectAndRead();
  } catch (error) {
    if (!(error instanceof CredentialsError)) throw error;
    await credentials.renew(credentials.current(), signal, error);
    return await connectAndRead();
  }
}

/** The lock is ours, for as long as the session lives, with the state as of the moment it was taken. */
export interface Taken {
  session: Session;
  lock: Lock;
  state: State;
}

/**
 * Opens a session and takes the lock, or waits for it for at most `waitMs`. The session belongs to `resources`: its end
 * revokes the lease, and a key that is still there goes with it.
 */
export async function takeLock(
  etcd: Etcd,
  resources: AsyncDisposableStack,
  options: {
    settings: Settings;
    /** Who we are, for those who find the lock held. */
    self: { runId: string; kind: string; startedAt: string; requestId: string };
    waitMs: number;
    deadline: Pick<Deadline, 'closing' | 'cut'>;
    /** Of a backfill whose checkpoint is wanted as well. */
    backfillId?: string | undefined;
  },
): Promise<Taken | { heldBy: Holder }> {
  const { settings, self, waitMs, deadline, backfillId } = options;
  const { closing: signal } = deadline;
  const acquire = { ...ACQUIRE, signal };
  const session = resources.use(await openSession(etcd, { ttlSeconds: settings.lockTtlSeconds, acquire }));
  const value = JSON.stringify({ ...self, job: settings.job, host: hostname() });
  const wanted = { lockKey: settings.lockKey, value, reads: readState(settings, backfillId) };
  // At the deadline the attempt is not waited for any more: if it still reaches etcd, the lease is revoked by then.
  const attempt =
    waitMs > 0
      ? await orAborted(lock(etcd, session, { ...wanted, waitMs, signal }), deadline.cut)
      : await orAborted(tryLock(etcd, session, wanted), signal);
  if ('heldBy' in attempt) return attempt;
  return { session, lock: attempt.lock, state: stateOf(settings, attempt.lock.reads) };
}
