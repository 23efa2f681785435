import { setDeadline } from './deadline.ts';
import { type Budget, connectEtcd, type Etcd } from './etcd.ts';
import type { Control } from './event.ts';
import { type Holder, holderOf, readHolder } from './mutex.ts';
import type { Invocation } from './run.ts';
import { openCredentials } from './secrets.ts';
import { deleteState, putState, type RunRecord, readState, type State, stateOf } from './state.ts';

/** What `status` tells; the other actions answer with it too, so that their effect is seen at once. */
export interface Status {
  job: string;
  stage: string;
  lockKey: string;
  /** Who holds the lock, and until when unless the lease is kept alive. */
  heldBy?: Holder & { leaseRemainingSeconds?: number };
  /** What to do where nothing will free the lock by itself. */
  advice?: string;
  paused: boolean;
  pause?: State['pause'];
  consecutiveSkips: number;
  lastRun?: RunRecord;
  lastCompletedStartedAt?: string;
  lastBackfill?: RunRecord;
}

/**
 * Looks at the job, pauses or resumes it; none of it needs the lock, and doing it twice is doing it once.
 * @throws LockServiceError, CredentialsError, SecretError, StateError
 */
export async function control(request: Control, invocation: Invocation): Promise<Status> {
  const { settings, secrets, log, remainingMs, stop } = invocation;
  using deadline = setDeadline({ remainingMs, reserveSeconds: settings.deadlineReserveSeconds, stop });
  const credentials = await openCredentials(secrets, deadline.cut);
  await using etcd = connectEtcd(settings.etcdEndpoints, credentials.current().etcd);
  const budget = { attemptMs: 2000, totalMs: 5000, signal: deadline.cut };

  if (request.action === 'pause') {
    const pause = { since: new Date().toISOString(), note: request.note };
    await etcd.txn('pause', { success: [putState(settings.statePrefix, 'pause', pause)] }, budget);
    log.info('paused', { note: request.note });
  }
  if (request.action === 'resume') {
    await etcd.txn('resume', { success: [deleteState(settings.statePrefix, 'pause')] }, budget);
    log.info('resumed');
  }
  return await readStatus(etcd, invocation, budget);
}

async function readStatus(etcd: Etcd, { settings }: Invocation, budget: Budget): Promise<Status> {
  const { job, stage, lockKey, statePrefix } = settings;
  const reads = [readHolder(lockKey), ...readState(statePrefix)];
  const [first, ...answers] = (await etcd.txn('read status', { success: reads }, budget)).responses;
  const { run, backfill, pause, consecutiveSkips } = stateOf(statePrefix, answers);
  const holder = holderOf(first);
  return {
    job,
    stage,
    lockKey,
    ...(holder && (await describeHolder(etcd, holder, budget))),
    paused: pause !== undefined,
    ...(pause && { pause }),
    consecutiveSkips,
    ...(run && { lastRun: run.last }),
    ...(run?.completedStartedAt && { lastCompletedStartedAt: run.completedStartedAt }),
    ...(backfill && { lastBackfill: backfill.last }),
  };
}

async function describeHolder(etcd: Etcd, holder: Holder, budget: Budget): Promise<Pick<Status, 'heldBy' | 'advice'>> {
  if (holder.leaseId === '0') {
    const advice = `the lock's key has no lease, so it stays until somebody deletes it: etcdctl del '${holder.key}'`;
    return { heldBy: holder, advice };
  }
  const leaseRemainingSeconds = await etcd.timeToLive(BigInt(`0x${holder.leaseId}`).toString(), budget);
  return { heldBy: { ...holder, leaseRemainingSeconds } };
}
