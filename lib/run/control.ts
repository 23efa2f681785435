import { randomUUID } from 'node:crypto';
import type { Control } from '../event.ts';
import type { Etcd } from '../lock/etcd.ts';
import type { Log } from '../log.ts';
import { openCredentials } from '../settings/secrets.ts';
import { allShards } from '../shard.ts';
import { type Places, placesOf } from '../state/places.ts';
import { deleteState, putState } from '../state/state.ts';
import { type Deadline, setDeadline } from '../time/deadline.ts';
import { ACQUIRE, look, takeLock } from './acquire.ts';
import { collectShards, fittedStatus } from './answer.ts';
import type { Invocation } from './invocation.ts';
import { lockedBy, type Skip } from './skip.ts';
import { readStatus, type Status, together } from './status.ts';

/**
 * Looks at the job, pauses or resumes it, or resets a part of its state; doing it twice is doing it once.
 * @throws SettingsError, LockServiceError, CredentialsError, SecretError, StateError
 */
export async function control(request: Control, invocation: Invocation): Promise<Status> {
  const { settings, secrets, log, requestId, remainingMs, stop } = invocation;
  using deadline = setDeadline({ remainingMs, reserveSeconds: settings.deadlineReserveSeconds, stop });
  const credentials = await openCredentials(secrets, deadline.cut);
  await using resources = new AsyncDisposableStack();
  const whole = placesOf(settings);
  const { etcd, state } = await look({ settings, places: whole, credentials, resources, signal: deadline.cut });
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
  const shards = collectShards();
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
    shards.add(skipped ? { ...status, skipped } : status);
  }
  return fittedStatus(together(settings, shards.parts, shards.failed));
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
