import { randomUUID } from 'node:crypto';
import { authOf } from '../authorized.ts';
import type { Backfill } from '../backfill-event.ts';
import { EventError } from '../errors.ts';
import type { Tick } from '../event.ts';
import type { Job } from '../job-types.ts';
import { newReport } from '../report.ts';
import { openCredentials } from '../settings/secrets.ts';
import { checkBackfillShard } from '../shard.ts';
import { askedByStep } from '../state/detached.ts';
import { placesOf } from '../state/places.ts';
import type { Wanted } from '../state/wanted.ts';
import { setDeadline } from '../time/deadline.ts';
import { look } from './acquire.ts';
import { fittedResult } from './answer.ts';
import { contend } from './contend.ts';
import type { Sending } from './continuation.ts';
import type { Invocation } from './invocation.ts';
import type { Observed } from './observed.ts';
import type { Result } from './result.ts';
import { isUnderWay, lockedBy, reasonToSkip, type Skip } from './skip.ts';

/**
 * One run from start to end: look, take the lock or skip, copy, save and unlock.
 * @throws a SolotickError whose name and code infra/README.md lists; the lock is released by then, or ends with its lease.
 */
export async function run<R>(job: Job<R>, request: Tick | Backfill, invocation: Invocation): Promise<Result> {
  const observed: Observed = { request, runId: randomUUID(), startedMs: Date.now(), throttles: 0, settledPages: 0 };
  const metrics = request.kind === 'backfill' && request.dryRun ? undefined : invocation.metrics;
  try {
    const result = fittedResult(await runOnce(job, request, invocation, observed));
    metrics?.(observed, { result });
    return result;
  } catch (error) {
    metrics?.(observed, { error });
    throw error;
  }
}

async function runOnce<R>(
  job: Job<R>,
  request: Tick | Backfill,
  { settings, secrets, log, requestId, functionName, remainingMs, stop, chain }: Invocation,
  observed: Observed,
): Promise<Result> {
  const { runId, startedMs } = observed;
  if (request.kind === 'backfill') checkBackfill(job, request, settings.shards);
  log.appendKeys({ runId, kind: request.kind });
  using deadline = setDeadline({ remainingMs, reserveSeconds: settings.deadlineReserveSeconds, stop });
  const credentials = await openCredentials(secrets, deadline.cut);
  // Now, because what a job cannot do should be known before anything is locked.
  for (const part of ['source', 'target'] as const) authOf(job[part], part, credentials.current(), settings.own);
  if (request.kind === 'backfill' && request.dryRun) {
    const { rehearse } = await import('./rehearse.ts');
    return await rehearse(job, request, { settings, runId, startedMs, deadline, credentials, log });
  }

  const places = placesOf(settings, request.shard);
  await using resources = new AsyncDisposableStack();
  const backfillId = request.kind === 'backfill' ? request.backfillId : undefined;
  const signal = deadline.cut;
  const { etcd, holder, state } = await look({ settings, places, credentials, backfillId, resources, signal });
  observed.state = state;
  const early = reasonToSkip(request, state, settings, Date.now()) ?? isUnderWay(request, holder, requestId);
  if (early) return skipped(early);
  const contending = { request, runId, startedMs, requestId, settings, places, holder, deadline, log, resources };
  const taken = await contend(etcd, contending);
  if ('heldBy' in taken) {
    observed.skipsInARow = taken.skipsInARow;
    return skipped(lockedBy(taken.heldBy, Date.now()));
  }
  log.appendKeys({ fencingToken: taken.lock.fencingToken });
  observed.state = taken.state;
  // On the way out the lease is revoked, and the key goes with it.
  const late = reasonToSkip(request, taken.state, settings, Date.now());
  if (late) return skipped(late);

  log.info('started: the lock is ours', { scheduledTime: request.kind === 'tick' ? request.scheduledTime : undefined });
  const { work } = await import('./work.ts');
  const report = newReport();
  observed.report = report;
  const asked = request.kind === 'backfill' ? askedByStep(request, taken.state) : request;
  const running = { job, request: asked, runId, startedMs, settings, places, taken, deadline, credentials, chain };
  let result: Result | undefined;
  try {
    result = await work({ ...running, report, observed, log, stop });
    return result;
  } finally {
    observed.backfillEnded = chain?.ended;
    const { wanted } = observed;
    const continues = settings.continue === 'self' && result?.status === 'partial';
    const sending = { runId, functionName, log, endsInMs: deadline.endsInMs() };
    if (!result?.notBefore) await goOn(request, { wanted, continues, sending });
  }

  function skipped(skip: Skip): Result {
    log.info(`skipped: ${skip.message}`, { reason: skip.reason, heldBy: skip.heldBy });
    return { status: 'skipped', job: job.name, runId, ...skip, report: newReport() };
  }
}

/** Sends on what is to run now that the lock is free: the tick that found it held, or else the rest of a tick's pass. */
async function goOn(
  request: Tick | Backfill,
  { wanted, continues, sending }: { wanted: Wanted | undefined; continues: boolean; sending: Sending },
): Promise<void> {
  if (!wanted && !(continues && request.kind === 'tick')) return;
  // Loaded now, because hardly any run needs it.
  const { continueLater, runWanted } = await import('./continuation.ts');
  if (wanted) await runWanted(wanted, request, sending);
  else if (request.kind === 'tick') await continueLater(request, sending);
}

/** @throws EventError for what no run of this job could do */
function checkBackfill<R>(job: Job<R>, request: Backfill, shards: number): void {
  checkBackfillShard(request, shards);
  checkIds(job, request.ids);
}

/** @throws EventError where the job cannot read single records */
export function checkIds<R>(job: Job<R>, ids: string[] | undefined): void {
  if (ids && !job.source.one)
    throw new EventError(
      `the job ${job.name} cannot read single records: it has no source.one, so no backfill takes ids`,
    );
}
