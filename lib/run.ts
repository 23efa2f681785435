import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { IRequestOp } from 'etcd3';
import type { Settings } from './config.ts';
import { setDeadline } from './deadline.ts';
import { CredentialsError, SolotickError } from './errors.ts';
import { type Budget, connectEtcd, type Etcd } from './etcd.ts';
import type { Backfill, Tick } from './event.ts';
import type { Log } from './log.ts';
import { type Attempt, type Holder, holderOf, type Put, lock as queueForLock, readHolder, tryLock } from './mutex.ts';
import { newReport, type Problem, type Report } from './report.ts';
import { type Credentials, openCredentials, type SecretStore } from './secrets.ts';
import { openSession } from './session.ts';
import { lockedBy, reasonToSkip, type Skip } from './skip.ts';
import type { SourceJob } from './source.ts';
import { countSkip, deleteState, putState, type RunRecord, readState, type State, stateOf } from './state.ts';
import type { Ending } from './sync.ts';
import type { TargetJob } from './target.ts';

/** What a user declares in `functions/job.ts`. */
export interface Job<R> {
  name: string;
  record: StandardSchemaV1<unknown, R>;
  id(record: R): string;
  source: SourceJob;
  target: TargetJob<R>;
}

/** What one invocation brings along. */
export interface Invocation {
  settings: Settings;
  secrets: SecretStore;
  log: Log;
  requestId: string;
  remainingMs: number;
  /** Aborts when the process is asked to end. */
  stop: AbortSignal;
}

export interface Result {
  status: 'completed' | 'partial' | 'skipped';
  job: string;
  runId: string;
  reason?: Skip['reason'] | Exclude<Ending, 'complete'>;
  message?: string;
  heldBy?: Holder;
  fencingToken?: string;
  report: Report;
  /** The first records that were not written, and why. */
  problems?: Problem[];
}

/** Before the lock there is no lease to keep, but an answer that takes longer than this is no answer. */
const ACQUIRE: Budget = { attemptMs: 2000, totalMs: 5000 };

/**
 * One run from start to end: look, take the lock or skip, copy, save and unlock.
 * @throws a SolotickError whose name and code the README lists; the lock is released by then, or ends with its lease.
 */
export async function run<R>(job: Job<R>, request: Tick | Backfill, invocation: Invocation): Promise<Result> {
  const { settings, secrets, log, remainingMs, stop } = invocation;
  const startedMs = Date.now();
  const runId = randomUUID();
  log.appendKeys({ runId, kind: request.kind });
  using deadline = setDeadline({ remainingMs, reserveSeconds: settings.deadlineReserveSeconds, stop });

  const credentials = await openCredentials(secrets, deadline.cut);
  await using resources = new AsyncDisposableStack();
  const { etcd, holder, state } = await look(settings, credentials, resources, deadline.cut);

  const skipped = (skip: Skip): Result => {
    log.info(`skipped: ${skip.message}`, { reason: skip.reason, heldBy: skip.heldBy });
    return { status: 'skipped', job: job.name, runId, ...skip, report: newReport() };
  };
  const locked = async (heldBy: Holder) => {
    if (request.kind === 'tick') await noteSkip(etcd, runId, invocation);
    return skipped(lockedBy(heldBy, Date.now()));
  };

  const early = reasonToSkip(request, state, settings, Date.now());
  if (early) return skipped(early);
  const waitMs = request.kind === 'backfill' ? request.waitSeconds * 1000 : 0;
  if (holder && waitMs === 0) return await locked(holder);

  const acquire = { ...ACQUIRE, signal: deadline.cut };
  const session = resources.use(await openSession(etcd, { ttlSeconds: settings.lockTtlSeconds, acquire }));
  const startedAt = new Date(startedMs).toISOString();
  const value = JSON.stringify({
    runId,
    job: job.name,
    kind: request.kind,
    startedAt,
    requestId: invocation.requestId,
    host: hostname(),
  });
  const options = { lockKey: settings.lockKey, value, reads: readState(settings.statePrefix) };
  const attempt: Attempt =
    waitMs === 0
      ? await tryLock(etcd, session, options)
      : await queueForLock(etcd, session, { ...options, waitMs, signal: deadline.closing });
  if ('heldBy' in attempt) return await locked(attempt.heldBy);

  const { lock } = attempt;
  log.appendKeys({ fencingToken: lock.fencingToken });
  const lockedState = stateOf(settings.statePrefix, lock.reads);
  // The lease is revoked on the way out, and the key goes with it.
  const late = reasonToSkip(request, lockedState, settings, Date.now());
  if (late) return skipped(late);

  log.info('started: the lock is ours', { scheduledTime: request.kind === 'tick' ? request.scheduledTime : undefined });
  const report = newReport();
  const problems: Problem[] = [];
  const conclude = (status: RunRecord['status'], error?: unknown) => {
    const endedMs = Date.now();
    report.durationMs = endedMs - startedMs;
    const last: RunRecord = {
      ...{ runId, kind: request.kind, status, startedAt, endedAt: new Date(endedMs).toISOString() },
      ...{ fencingToken: lock.fencingToken, report },
      ...(error !== undefined && { error: told(error) }),
    };
    return lock.unlock(finalState(settings.statePrefix, request, lockedState, last), session.budget());
  };
  let ending: Ending;
  try {
    // Loaded only now, because a skip needs none of it.
    const { copy } = await import('./copy.ts');
    ending = await copy(job, request, { ...invocation, runId, session, lock, deadline, credentials, report, problems });
  } catch (error) {
    log.error('the run failed', { report });
    await conclude('failed', error).catch((cause) => log.warn('the failure was not recorded', { error: cause }));
    throw error;
  }
  const status = ending === 'complete' ? 'completed' : 'partial';
  await conclude(status);
  log.info(status, { report });
  return {
    ...{ status, job: job.name, runId, fencingToken: lock.fencingToken, report },
    ...(ending !== 'complete' && { reason: ending }),
    ...(problems.length > 0 && { problems }),
  };
}

/**
 * Connects and makes the one read that decides most skips. etcd's credentials are renewed here once, if they are refused:
 * nothing has been taken yet.
 */
async function look(
  settings: Settings,
  credentials: Credentials,
  resources: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<{ etcd: Etcd; holder: Holder | undefined; state: State }> {
  const connectAndRead = async () => {
    const etcd = resources.use(connectEtcd(settings.etcdEndpoints, credentials.current().etcd));
    const reads = [readHolder(settings.lockKey), ...readState(settings.statePrefix)];
    const answer = await etcd.txn('read lock and state', { success: reads }, { ...ACQUIRE, signal });
    const [holder, ...state] = answer.responses;
    return { etcd, holder: holderOf(holder), state: stateOf(settings.statePrefix, state) };
  };
  try {
    return await connectAndRead();
  } catch (error) {
    if (!(error instanceof CredentialsError)) throw error;
    await credentials.renew(credentials.current(), signal, error);
    return await connectAndRead();
  }
}

/** Counts a tick that found the lock held, after the decision and without the lock. */
async function noteSkip(etcd: Etcd, runId: string, { settings, log }: Invocation) {
  const { statePrefix, skipsBeforeWarning } = settings;
  try {
    const inARow = await countSkip(etcd, statePrefix, { runId, at: new Date().toISOString() }, ACQUIRE);
    if (inARow >= skipsBeforeWarning) log.warn(`${inARow} ticks in a row were skipped because the lock is held`);
  } catch (error) {
    log.warn('the skip was not counted', { error });
  }
}

/** What the transaction that unlocks leaves behind. A backfill leaves the timer's own state alone. */
function finalState(prefix: string, request: Tick | Backfill, before: State, last: RunRecord): [Put, ...IRequestOp[]] {
  if (request.kind === 'backfill') return [putState(prefix, 'backfill', { last })];
  const { completedScheduledTime, completedStartedAt } = before.run ?? {};
  if (last.status !== 'completed')
    return [putState(prefix, 'run', { last, completedScheduledTime, completedStartedAt })];
  const { scheduledTime = '' } = request;
  const highest = scheduledTime > (completedScheduledTime ?? '') ? scheduledTime : completedScheduledTime;
  return [
    putState(prefix, 'run', { last, completedScheduledTime: highest, completedStartedAt: last.startedAt }),
    deleteState(prefix, 'skips'),
  ];
}

function told(error: unknown): NonNullable<RunRecord['error']> {
  const { name, message } = error as Error;
  return { name, code: error instanceof SolotickError ? error.code : 'UNKNOWN', message };
}
