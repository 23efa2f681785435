import { randomUUID } from 'node:crypto';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { Ending } from '../engine/engine.ts';
import type { Backfill, Tick } from '../event.ts';
import type { Etcd } from '../lock/etcd.ts';
import type { Holder } from '../lock/holder.ts';
import type { Log } from '../log.ts';
import type { SourceJob } from '../read/source.ts';
import { newReport, type Problem, type Report } from '../report.ts';
import type { Settings } from '../settings/config.ts';
import { openCredentials, type SecretStore } from '../settings/secrets.ts';
import { checkBackfillShard, settingsOfShard } from '../shard.ts';
import { countSkip } from '../state/state.ts';
import { setDeadline } from '../time/deadline.ts';
import type { TargetJob } from '../write/target.ts';
import { ACQUIRE, look, takeLock } from './acquire.ts';
import type { Observed, TellMetrics } from './metrics.ts';
import { lockedBy, reasonToSkip, type Skip } from './skip.ts';

/** What a user declares in `functions/job.ts`. */
export interface Job<R> {
  name: string;
  record: StandardSchemaV1<unknown, R>;
  id(record: R): string;
  /** When a record was changed, ISO 8601 with a zone. A job that tells reads only what changed since the last pass. */
  updatedAt?(record: R): string;
  source: SourceJob;
  target: TargetJob<R>;
}

/** What one invocation brings along. */
export interface Invocation {
  settings: Settings;
  secrets: SecretStore;
  log: Log;
  requestId: string;
  functionName: string;
  remainingMs: number;
  /** Aborts when the process is asked to end. */
  stop: AbortSignal;
  /** Told how the run ends, unless it is a rehearsal. */
  metrics?: TellMetrics;
}

export interface Result {
  status: 'completed' | 'partial' | 'skipped';
  job: string;
  runId: string;
  reason?: Skip['reason'] | Exclude<Ending, 'complete'>;
  message?: string;
  heldBy?: Holder;
  fencingToken?: string;
  /** Of this invocation. */
  report: Report;
  /** Of the whole pass, over all its invocations. */
  pass?: Report;
  /** What a later `backfill` event names to go on with this one. */
  backfillId?: string;
  /** Nothing was written, and the lock was not taken. */
  dryRun?: true;
  /** The first records that a rehearsal would have written. */
  wouldWrite?: string[];
  /** The records that a backfill could not write, as many as are kept, for a later one of `ids`. */
  failedIds?: string[];
  /** The first records that were not written, and why. */
  problems?: Problem[];
}

/**
 * One run from start to end: look, take the lock or skip, copy, save and unlock.
 * @throws a SolotickError whose name and code the README lists; the lock is released by then, or ends with its lease.
 */
export async function run<R>(job: Job<R>, request: Tick | Backfill, invoked: Invocation): Promise<Result> {
  const observed: Observed = { request, runId: randomUUID(), startedMs: Date.now(), throttles: 0 };
  const tell = request.kind === 'backfill' && request.dryRun ? undefined : invoked.metrics;
  try {
    const result = await runObserved(job, request, invoked, observed);
    tell?.(observed, { result });
    return result;
  } catch (error) {
    tell?.(observed, { error });
    throw error;
  }
}

async function runObserved<R>(
  job: Job<R>,
  request: Tick | Backfill,
  invoked: Invocation,
  observed: Observed,
): Promise<Result> {
  const { runId, startedMs } = observed;
  checkBackfillShard(invoked.settings, request);
  const settings = settingsOfShard(invoked.settings, request.shard);
  const invocation = { ...invoked, settings };
  const { secrets, log, requestId, remainingMs, stop } = invocation;
  log.appendKeys({ runId, kind: request.kind });
  using deadline = setDeadline({ remainingMs, reserveSeconds: settings.deadlineReserveSeconds, stop });

  const credentials = await openCredentials(secrets, deadline.cut);
  const startedAt = new Date(startedMs).toISOString();
  if (request.kind === 'backfill' && request.dryRun) {
    const { rehearse } = await import('./rehearse.ts');
    return await rehearse(job, request, { ...invocation, runId, startedAt, deadline, credentials });
  }
  await using resources = new AsyncDisposableStack();
  const { etcd, holder, state } = await look(settings, credentials, resources, deadline.cut);
  observed.state = state;

  const skipped = (skip: Skip): Result => {
    log.info(`skipped: ${skip.message}`, { reason: skip.reason, heldBy: skip.heldBy });
    return { status: 'skipped', job: job.name, runId, ...skip, report: newReport() };
  };
  const locked = async (heldBy: Holder) => {
    if (request.kind === 'tick') observed.skipsInARow = await noteSkip(etcd, runId, invocation, deadline.cut);
    return skipped(lockedBy(heldBy, Date.now()));
  };

  const early = reasonToSkip(request, state, settings, Date.now());
  if (early) return skipped(early);
  const waitMs = request.kind === 'backfill' ? request.waitSeconds * 1000 : 0;
  if (holder && waitMs === 0) return await locked(holder);

  // Loaded only now, because a skip needs none of it, and not under the lock, which would be held for longer.
  const { work } = await import('./work.ts');
  const taken = await takeLock(etcd, resources, {
    settings,
    waitMs,
    deadline,
    self: { runId, kind: request.kind, startedAt, requestId },
    backfillId: request.kind === 'backfill' ? request.backfillId : undefined,
  });
  if ('heldBy' in taken) return await locked(taken.heldBy);
  log.appendKeys({ fencingToken: taken.lock.fencingToken });
  observed.state = taken.state;
  // The lease is revoked on the way out, and the key goes with it.
  const late = reasonToSkip(request, taken.state, settings, Date.now());
  if (late) return skipped(late);

  log.info('started: the lock is ours', { scheduledTime: request.kind === 'tick' ? request.scheduledTime : undefined });
  const report = newReport();
  observed.report = report;
  const throttled = () => observed.throttles++;
  const held = { ...invocation, ...taken, runId, startedAt, deadline, credentials, report, throttled };
  const result = await work(job, request, held);
  if (request.kind === 'tick' && result.status === 'partial' && settings.continue === 'self') {
    // Loaded only now, because hardly any run needs it.
    const { continueLater } = await import('./continuation.ts');
    await continueLater(request, runId, { ...invocation, endsInMs: deadline.endsInMs() });
  }
  return result;
}

/** Counts a tick that found the lock held, after the decision and without the lock. @returns how many there were in a row */
async function noteSkip(
  etcd: Etcd,
  runId: string,
  { settings, log }: Invocation,
  signal: AbortSignal,
): Promise<number | undefined> {
  const { statePrefix, skipsBeforeWarning } = settings;
  try {
    const skip = { runId, at: new Date().toISOString() };
    const inARow = await countSkip(etcd, statePrefix, skip, { ...ACQUIRE, signal });
    if (inARow >= skipsBeforeWarning) log.warn(`${inARow} ticks in a row were skipped because the lock is held`);
    return inARow;
  } catch (error) {
    log.warn('the skip was not counted', { error });
    return;
  }
}
