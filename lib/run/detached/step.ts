import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backfill, BackfillStep } from '../../backfill-event.ts';
import type { Job } from '../../job-types.ts';
import { newReport } from '../../report.ts';
import { pauseAfter } from '../../state/after-step.ts';
import type { Invocation } from '../invocation.ts';
import type { Result } from '../result.ts';
import { run } from '../run.ts';
import { type Chain, stepSender } from './chain.ts';

/** What nobody but a person changes. Who has done so goes on with the backfill. */
const LASTING: ReadonlySet<unknown> = new Set(['EVENT', 'JOB', 'SETTINGS', 'STATE']);

/** How soon to look again whether a run of another number of shards has ended. */
const RESHARDING_PAUSE_MS = 30_000;

/** Kept for sending the event again: two attempts of 2 s at most. */
const TO_SEND_MS = 5000;

/**
 * One step of a detached backfill: a run, before which it waits for its time and for the lock. Where that takes longer than this
 * invocation has, or where etcd cannot be asked, it sends its own event again.
 * @throws the run's error; Lambda then delivers the event again, which does nothing where the chain goes on by another one
 */
export async function runStep<R>(job: Job<R>, event: BackfillStep, invocation: Invocation): Promise<Result> {
  const { settings, log, functionName, stop } = invocation;
  const { backfillId, shard, step } = event;
  const endsAtMs = performance.now() + invocation.remainingMs;
  const endsInMs = () => endsAtMs - performance.now();
  const closesInMs = () => endsInMs() - Math.max(settings.deadlineReserveSeconds * 1000, TO_SEND_MS);
  const send = stepSender({ functionName, log, backfillId, shard, endsInMs });
  let sent: { error?: unknown } | undefined;
  const wholeMs = closesInMs();
  const chain: Chain = {
    async sendNext(next: number) {
      sent = await send({ step: next }).then(
        () => ({}),
        (error) => ({ error }),
      );
      return !sent.error;
    },
  };
  for (let waits = event.waits; ; waits++) {
    const request: Backfill = {
      ...{ kind: 'backfill', backfillId, shard, step, waited: waits > 0, dryRun: false },
      waitSeconds: Math.max(1, Math.floor(closesInMs() / 2000)),
    };
    let untilMs: number;
    let waiting: Result;
    try {
      waiting = await run(job, request, { ...invocation, remainingMs: endsInMs(), chain });
      if (sent?.error) throw sent.error;
      if (waiting.status !== 'skipped' || waiting.reason === 'duplicate') return waiting;
      untilMs = waiting.notBefore ? Date.parse(waiting.notBefore) : Date.now() + pauseOf(waiting);
    } catch (error) {
      if (sent || chain.ended || LASTING.has((error as { code?: unknown }).code)) throw error;
      log.warn('the step is tried again', { error, waits });
      untilMs = Date.now() + pauseAfter(waits);
      waiting = waitingBecause(error);
    }
    const pauseMs = Math.min(untilMs - Date.now(), closesInMs());
    await pause(pauseMs, stop);
    // A run that has less than half of an invocation's time is not worth its start.
    if (closesInMs() > wholeMs / 2 && Date.now() >= untilMs && !stop.aborted) continue;
    // A pause has an end of its own.
    await send({ step, waits: waiting.notBefore ? waits : waits + 1 });
    return waiting;
  }

  function waitingBecause(error: unknown): Result {
    const { name, message } = error as Error;
    const why = `the step is tried again: ${name}: ${message}`;
    return {
      status: 'skipped',
      reason: 'waiting',
      job: job.name,
      runId: randomUUID(),
      message: why,
      report: newReport(),
    };
  }
}

/** A run that was locked out has waited already. */
const pauseOf = ({ reason }: Result) => (reason === 'resharding' ? RESHARDING_PAUSE_MS : 0);

/** An abort ends it. */
const pause = (ms: number, signal: AbortSignal) => sleep(Math.max(0, ms), undefined, { signal }).catch(() => undefined);
