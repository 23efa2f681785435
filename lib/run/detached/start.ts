import { randomUUID } from 'node:crypto';
import type { StartBackfill } from '../../backfill-event.ts';
import { EventError } from '../../errors.ts';
import type { Job } from '../../job-types.ts';
import type { Budget, Etcd } from '../../lock/etcd.ts';
import { ask, both } from '../../lock/query.ts';
import { newReport } from '../../report.ts';
import { openCredentials } from '../../settings/secrets.ts';
import { allShards, checkBackfillShard, type Shard, shardOf } from '../../shard.ts';
import type { BackfillProgress } from '../../state/backfill-schemas.ts';
import {
  backfillIdsOf,
  backfillOf,
  deleteCancelled,
  putBackfill,
  putBackfillIds,
  unchangedBackfill,
} from '../../state/backfills.ts';
import { againAfterEnd, beginDetached, checkSameRange } from '../../state/detached.ts';
import { type Places, placesOf } from '../../state/places.ts';
import { setDeadline } from '../../time/deadline.ts';
import { ACQUIRE, look } from '../acquire.ts';
import type { Invocation } from '../invocation.ts';
import type { Result } from '../result.ts';
import { checkIds } from '../run.ts';
import { stepSender } from './chain.ts';

/** As JSON. etcd takes 1.5 MB in one request. */
const MAX_IDS_BYTES = 400_000;

/** Another start, or the end of the backfill, may change its state while it is read. */
const MAX_TRIES = 5;

/**
 * Starts a detached backfill: puts its state in each shard and sends the first event of each chain. Where the backfill is known,
 * goes on with it: one that has failed or was cancelled begins again where it was; of one that runs the event is sent again,
 * which is harmless. Both may be done twice.
 * @throws EventError for what no backfill of this job could do, or an id that is not known; InvokeError
 */
export async function startBackfill<R>(job: Job<R>, request: StartBackfill, invocation: Invocation): Promise<Result> {
  const { settings, secrets, log, functionName, remainingMs, stop } = invocation;
  if (request.shard) checkBackfillShard(request, settings.shards);
  checkIds(job, request.ids);
  if (request.ids && Buffer.byteLength(JSON.stringify(request.ids)) > MAX_IDS_BYTES)
    throw new EventError(`the ids have more than ${MAX_IDS_BYTES} bytes as JSON: start several backfills`);
  using deadline = setDeadline({ remainingMs, reserveSeconds: settings.deadlineReserveSeconds, stop });
  const credentials = await openCredentials(secrets, deadline.cut);
  await using resources = new AsyncDisposableStack();
  const signal = deadline.cut;
  const { etcd } = await look({ settings, places: placesOf(settings), credentials, resources, signal });
  const id = request.backfillId ?? randomUUID();
  const budget = { ...ACQUIRE, signal };
  const shards = request.shard ? [request.shard] : allShards(settings.shards);
  const steps: { shard: Shard; step: number }[] = [];
  let isKnown = false;
  for (const shard of shards) {
    const entered = await enter(etcd, { request, id, shard, places: placesOf(settings, shard), budget });
    isKnown ||= entered !== 'unknown';
    if (typeof entered === 'number') steps.push({ shard, step: entered });
  }
  if (!isKnown)
    throw new EventError(`there is no detached backfill ${id}: it ended more than 30 days ago, or never began`);
  if (steps.length === 0) throw new EventError(`backfill ${id} has nothing left to do: start another one`);
  for (const { shard, step } of steps) {
    const send = stepSender({ functionName, log, backfillId: id, shard, endsInMs: deadline.endsInMs });
    await send({ step });
  }
  log.info('started a detached backfill', { backfillId: id, shards: steps.length, startedBy: request.startedBy });
  return { status: 'started', job: job.name, runId: randomUUID(), backfillId: id, report: newReport() };
}

/**
 * Makes one shard's part of a backfill ready to go on.
 * @returns the step with which it goes on; `completed`; or `unknown` where there is none and the event does not describe one
 */
async function enter(
  etcd: Etcd,
  options: { request: StartBackfill; id: string; shard: Shard; places: Places; budget: Budget },
): Promise<number | 'completed' | 'unknown'> {
  const { request, id, shard, places, budget } = options;
  const { statePrefix, jobStatePrefix } = places;
  const ownIds = request.ids?.filter((recordId) => shardOf(recordId, shard.of) === shard.index);
  const isDescribed = Boolean(request.since || request.until || request.ids) || request.backfillId === undefined;
  const read = both(backfillOf(statePrefix, id), backfillIdsOf(statePrefix, id));
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const [found, savedIds] = await ask(etcd, 'read the backfill', read, budget);
    const now = new Date().toISOString();
    let next: BackfillProgress | undefined;
    if (!found) {
      if (!isDescribed) return 'unknown';
      // A part without ids would have nothing to do.
      if (ownIds?.length === 0) return 'completed';
      next = { failed: [], detached: beginDetached(request, ownIds?.length, now) };
    } else {
      const detached = checkSameRange(id, request, found.progress.detached, { ownIds, savedIds });
      if (detached.status === 'completed') return 'completed';
      if (detached.status === 'running') {
        // It may have been asked to end, and has not come to it yet.
        await etcd.txn('start the backfill', { success: [deleteCancelled(jobStatePrefix, id)] }, budget);
        return detached.step;
      }
      next = { ...found.progress, detached: againAfterEnd(detached, request.concurrency, now) };
    }
    const ids = ownIds ?? savedIds;
    const entered = await etcd.txn(
      'start the backfill',
      {
        compare: [unchangedBackfill(statePrefix, id, found?.revision)],
        success: [
          // Without the lease of its end.
          putBackfill(statePrefix, id, next),
          ...(ids ? [putBackfillIds(statePrefix, id, ids)] : []),
          deleteCancelled(jobStatePrefix, id),
        ],
      },
      budget,
    );
    if (entered.succeeded) return next.detached!.step;
  }
  throw new EventError(`backfill ${id} was changed by somebody else ${MAX_TRIES} times: try again`);
}
