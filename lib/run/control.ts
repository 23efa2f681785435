import type { Control } from '../event.ts';
import { ask } from '../lock/query.ts';
import { openCredentials } from '../settings/secrets.ts';
import { allShards, nameOfShard, type Shard } from '../shard.ts';
import { type Places, placesOf } from '../state/places.ts';
import { currentState, deleteState, putState, type State } from '../state/state.ts';
import { setDeadline } from '../time/deadline.ts';
import { ACQUIRE, look } from './acquire.ts';
import { collectShards, fittedStatus } from './answer.ts';
import { approvalOf, type Withholding } from './approve-removals.ts';
import { readBackfills } from './backfill-status.ts';
import { type Change, changeState } from './change-state.ts';
import { cancelBackfill } from './detached/cancel.ts';
import type { Invocation } from './invocation.ts';
import { readStatus, type Status, together } from './status.ts';

/**
 * Looks at the job, pauses or resumes it, resets a part of its state, approves removals that are withheld, or cancels a detached
 * backfill; doing it twice is doing it once.
 * @throws EventError where there is nothing to approve or to cancel; SettingsError, LockServiceError, CredentialsError,
 * SecretError, StateError
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
  const parts = allShards(settings.shards).map((shard) => ({ shard, places: placesOf(settings, shard) }));
  const planned = await planChanges(request, parts, {
    stateOf: (places) => ask(etcd, 'read state', currentState(places), budget),
    cancelBackfill: (id) => cancelBackfill(etcd, { id, parts, jobStatePrefix: whole.jobStatePrefix, budget }),
  });
  const shards = collectShards();
  for (const { shard, places } of parts) {
    const { job, lockTtlSeconds: ttlSeconds } = settings;
    const change = planned.changes.get(shard);
    const skipped = change && (await changeState(etcd, change, { job, ttlSeconds, places, requestId, deadline }));
    if (change && !skipped) log.info(`changed: ${request.action}`, { ...request, shard: nameOfShard(shard) });
    const status = await readStatus(etcd, settings, places, budget);
    // A run that holds the lock reads by itself that its backfill was cancelled.
    shards.add(skipped && request.action !== 'cancel-backfill' ? { ...status, skipped } : status, shard);
  }
  const all = parts.map(({ places }) => places);
  const status = {
    ...together(settings, shards.parts, shards),
    backfills: await readBackfills(etcd, all, budget),
  };
  return fittedStatus(planned.refused === undefined ? status : { ...status, notApproved: planned.refused });
}

/** What a request changes under the lock of each shard, or why it changes nothing. @throws EventError */
async function planChanges(
  request: Control,
  parts: { shard: Shard; places: Places }[],
  {
    stateOf,
    cancelBackfill,
  }: { stateOf(places: Places): Promise<State>; cancelBackfill(id: string): Promise<Map<Shard, Change>> },
): Promise<{ changes: Map<Shard, Change>; refused?: string }> {
  const none = new Map<Shard, Change>();
  if (request.action === 'reset') {
    return { changes: new Map(parts.map(({ shard, places }) => [shard, resetting(request, places.statePrefix)])) };
  }
  if (request.action === 'cancel-backfill') return { changes: await cancelBackfill(request.backfillId) };
  if (request.action !== 'approve-removals') return { changes: none };
  const withholding: Withholding[] = [];
  for (const { shard, places } of parts) {
    const { removals } = await stateOf(places);
    withholding.push({ shard, statePrefix: places.statePrefix, removals });
  }
  return { changes: none, ...approvalOf(request.upTo, withholding) };
}

const resetting = (request: Extract<Control, { action: 'reset' }>, statePrefix: string): Change => ({
  kind: 'reset',
  operations(state) {
    const checkpoint = { failed: [], deadLettered: [], ...state.checkpoint };
    const noPass = putState(statePrefix, 'checkpoint', { ...checkpoint, pass: undefined });
    const noFailed = putState(statePrefix, 'checkpoint', { ...checkpoint, failed: [] });
    const fullAt = state.watermark?.fullAt ?? new Date().toISOString();
    const watermark =
      request.to === undefined
        ? deleteState(statePrefix, 'watermark')
        : putState(statePrefix, 'watermark', { at: request.to, fullAt });
    // At its end an unfinished pass would set the watermark again, so a new watermark begins a new pass.
    return { checkpoint: [noPass], failed: [noFailed], watermark: [watermark, noPass] }[request.what];
  },
});
