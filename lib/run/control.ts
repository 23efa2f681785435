import { randomUUID } from 'node:crypto';
import type { Control } from '../event.ts';
import type { Budget, Etcd } from '../lock/etcd.ts';
import { currentHolder, type Holder } from '../lock/holder.ts';
import { ask, both } from '../lock/query.ts';
import type { Log } from '../log.ts';
import type { Settings } from '../settings/config.ts';
import { openCredentials } from '../settings/secrets.ts';
import { allShards } from '../shard.ts';
import type { Failure } from '../state/failures.ts';
import { type Places, placesOf } from '../state/places.ts';
import { currentState, deleteState, putState, type RunRecord, type State } from '../state/state.ts';
import { type Deadline, setDeadline } from '../time/deadline.ts';
import { ACQUIRE, look, takeLock } from './acquire.ts';
import type { Invocation } from './invocation.ts';
import { lockedBy, type Skip } from './skip.ts';

/** The answer to every action, so that its effect is seen at once. */
export interface Status {
  job: string;
  stage: string;
  lockKey: string;
  /** Who holds the lock, and until when unless the lease is kept alive. */
  heldBy?: Holder & { leaseRemainingSeconds?: number };
  /** What to do where the lock will not become free by itself. */
  advice?: string;
  paused: boolean;
  pause?: State['pause'];
  consecutiveSkips: number;
  lastRun?: RunRecord;
  lastCompletedStartedAt?: string;
  lastBackfill?: RunRecord;
  /** Where the next pass begins to read, and when the last full one began. */
  watermark?: State['watermark'];
  /** The pass that the next tick goes on with. */
  unfinishedPass?: NonNullable<State['checkpoint']>['pass'];
  /** The records that the timer's runs could not write. */
  failed: Failure[];
  /** Why a reset was refused: a run holds the lock. */
  skipped?: Skip;
  /** The status of each shard, where the job runs in shards. */
  shards?: Status[];
}

/**
 * Looks at the job, pauses or resumes it, or resets a part of its state; doing it twice is doing it once.
 * @throws LockServiceError, CredentialsError, SecretError, StateError
 */
export async function control(request: Control, invocation: Invocation): Promise<Status> {
  const { settings, secrets, log, requestId, remainingMs, stop } = invocation;
  using deadline = setDeadline({ remainingMs, reserveSeconds: settings.deadlineReserveSeconds, stop });
  const credentials = await openCredentials(secrets, deadline.cut);
  await using resources = new AsyncDisposableStack();
  const whole = placesOf(settings);
  const endpoints = settings.etcdEndpoints;
  const { etcd, state } = await look({ endpoints, places: whole, credentials, resources, signal: deadline.cut });
  const budget = { ...ACQUIRE, signal: deadline.cut };

  if (request.action === 'pause') {
    // An event that is delivered twice, or a better note, does not begin the pause anew.
    const pause = { since: state.pause?.since ?? new Date().toISOString(), note: request.note };
    await etcd.txn('pause', { success: [putState(whole.jobStatePrefix, 'pause', pause)] }, budget);
    log.info('paused', { note: request.note });
  }
  if (request.action === 'resume') {
    await etcd.txn('resume', { success: [deleteState(whole.jobStatePrefix, 'pause')] }, budget);
    log.info('resumed');
  }
  const parts: Status[] = [];
  for (const shard of allShards(settings.shards)) {
    const places = placesOf(settings, shard);
    const skipped =
      request.action === 'reset' &&
      (await resetState(etcd, request, {
        job: settings.job,
        ttlSeconds: settings.lockTtlSeconds,
        places,
        requestId,
        deadline,
        log,
      }));
    const status = await readStatus(etcd, settings, places, budget);
    parts.push(skipped ? { ...status, skipped } : status);
  }
  return together(settings, parts);
}

/** Resets a part of the timer's state. It is fenced, so it is changed under the lock, like a run would change it. */
async function resetState(
  etcd: Etcd,
  request: Extract<Control, { action: 'reset' }>,
  options: {
    job: string;
    ttlSeconds: number;
    places: Places;
    requestId: string;
    deadline: Deadline;
    log: Log;
  },
): Promise<Skip | undefined> {
  const { job, ttlSeconds, places, requestId, deadline, log } = options;
  const { statePrefix } = places;
  await using resources = new AsyncDisposableStack();
  const startedAt = new Date().toISOString();
  const self = { runId: randomUUID(), kind: 'reset', startedAt, requestId, job };
  const taken = await takeLock(etcd, resources, { places, ttlSeconds, self, waitMs: 0, deadline });
  if ('heldBy' in taken) return lockedBy(taken.heldBy, Date.now());
  const { session, lock, state } = taken;
  const checkpoint = { failed: [], deadLettered: [], ...state.checkpoint };
  const noPass = putState(statePrefix, 'checkpoint', { ...checkpoint, pass: undefined });
  const noFailed = putState(statePrefix, 'checkpoint', { ...checkpoint, failed: [] });
  const watermark =
    request.to === undefined
      ? deleteState(statePrefix, 'watermark')
      : putState(statePrefix, 'watermark', { at: request.to, fullAt: state.watermark?.fullAt ?? startedAt });
  // At its end an unfinished pass would set the watermark again, so a new watermark begins a new pass.
  const operations = { checkpoint: [noPass], failed: [noFailed], watermark: [watermark, noPass] }[request.what];
  // The key goes with the lease, when the resources are disposed of.
  const signal = AbortSignal.any([session.signal, deadline.cut]);
  await lock.save(operations, { ...session.budget(), signal });
  log.info('reset', { what: request.what, to: request.to });
  return;
}

/** One status for all shards of a job: theirs, and what concerns all of them. */
function together({ job, stage, lockKey }: Settings, parts: Status[]): Status {
  const [first, ...others] = parts as [Status, ...Status[]];
  if (others.length === 0) return first;
  return {
    job,
    stage,
    lockKey,
    paused: first.paused,
    ...(first.pause && { pause: first.pause }),
    consecutiveSkips: Math.max(...parts.map(({ consecutiveSkips }) => consecutiveSkips)),
    failed: parts.flatMap(({ failed }) => failed),
    shards: parts,
  };
}

async function readStatus(etcd: Etcd, settings: Settings, places: Places, budget: Budget): Promise<Status> {
  const lockAndState = both(currentHolder(places.lockKey), currentState(places));
  const [holder, state] = await ask(etcd, 'read status', lockAndState, budget);
  const { run, backfill, pause, consecutiveSkips, checkpoint, watermark } = state;
  return {
    job: settings.job,
    stage: settings.stage,
    lockKey: places.lockKey,
    ...(holder && (await describeLease(etcd, holder, budget))),
    paused: pause !== undefined,
    ...(pause && { pause }),
    consecutiveSkips,
    ...(run && { lastRun: run.last }),
    ...(run?.completedStartedAt && { lastCompletedStartedAt: run.completedStartedAt }),
    ...(backfill && { lastBackfill: backfill.last }),
    ...(watermark && { watermark }),
    ...(checkpoint?.pass && { unfinishedPass: checkpoint.pass }),
    failed: checkpoint?.failed ?? [],
  };
}

async function describeLease(etcd: Etcd, holder: Holder, budget: Budget): Promise<Pick<Status, 'heldBy' | 'advice'>> {
  if (holder.leaseId === '0') {
    const advice = `the lock's key has no lease, so it stays until somebody deletes it: etcdctl del '${holder.key}'`;
    return { heldBy: holder, advice };
  }
  const leaseRemainingSeconds = await etcd.timeToLive(BigInt(`0x${holder.leaseId}`).toString(), budget);
  return { heldBy: { ...holder, leaseRemainingSeconds } };
}
