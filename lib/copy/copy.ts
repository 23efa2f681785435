import type { Ending } from '../engine/ending.ts';
import { sync } from '../engine/engine.ts';
import type { Versions } from '../engine/writes.ts';
import type { Interrupted } from '../errors.ts';
import { msOf } from '../instant.ts';
import type { Job } from '../job-types.ts';
import type { Log } from '../log.ts';
import { openSource, type SourceServer } from '../read/source.ts';
import type { RecordOutcomes } from '../record-outcomes.ts';
import type { Report, SettledPage } from '../report.ts';
import type { Shard } from '../shard.ts';
import type { PassUnderWay } from '../state/pass-under-way.ts';
import { guardWith, type Stops } from '../time/guard.ts';
import { openRehearsal } from '../write/rehearsal.ts';
import { type Fence, openTarget, type TargetServer } from '../write/target.ts';
import { countingChanges } from './changes.ts';
import { readPages } from './reading.ts';
import { outsideOf } from './window.ts';

/** How a pass is copied. */
export interface Copying<R> {
  job: Job<R>;
  settings: {
    source: { url: string; timeoutMs: number };
    target: { url: string; timeoutMs: number };
    /** The job's own. */
    own: unknown;
    service: string;
    maxReadsPerSecond: number | undefined;
    maxWritesPerSecond: number | undefined;
    failuresBeforeStop: number;
  };
  concurrency: number;
  credentials: SourceServer['credentials'] & TargetServer['credentials'];
  pass: PassUnderWay;
  /** Copies these records instead of the list. */
  ids: string[] | undefined;
  shard: Shard | undefined;
  /** The ids of records that failed before and are read again first. */
  failedBefore: string[];
  /** Keeps older holders of the lock out of the target; without it this is a rehearsal, and nothing is written. */
  fence?: Fence;
  /** What ends the pass early. */
  stops: Stops;
  report: Report;
  outcomes: RecordOutcomes<R>;
  /** Without it, every record is written. */
  versions?: Versions<R>;
  pageSettled(page: SettledPage): void;
  /** Called for each answer that throttles, and for each 503. */
  throttled?: () => void;
  log: Log;
}

/** How a pass has ended, and what interrupted it. */
export interface Copied {
  ending: Ending;
  interrupted?: Interrupted;
}

/**
 * Reads what a pass asks for, after the records that failed before, and writes it.
 * @throws the errors of `sync`; nothing is in flight any more by then.
 */
export async function copy<R>(copying: Copying<R>): Promise<Copied> {
  const { job, settings, concurrency, credentials, fence, throttled, pass } = copying;
  const { closing, guard } = guardWith(copying.stops);
  const { updatedAt } = job;
  const updatedAtMs = updatedAt && ((record: R) => msOf(updatedAt(record)));
  const changes = updatedAt ? undefined : countingChanges(pass);
  const writing = {
    id: job.id,
    deleted: job.deleted,
    runId: pass.current().runId,
    updatedAtMs,
    changes,
    settings: settings.own,
  };
  const agent = { service: settings.service, job: job.name };
  const asking = { credentials, guard, agent, throttled };
  const { own, maxReadsPerSecond: perSecond } = settings;
  await using source = openSource(job.source, { ...settings.source, ...asking, settings: own, perSecond });
  await using target = fence
    ? openTarget(job.target, writing, fence, {
        ...settings.target,
        ...asking,
        concurrency,
        perSecond: settings.maxWritesPerSecond,
      })
    : openRehearsal(job.target, writing);
  const { ids, shard, failedBefore, outcomes, log } = copying;
  const { bulk } = target;
  const ending = await sync<R>({
    pages: readPages({ job, source, pass, ids, shard, failedBefore, outcomes, log }),
    accept: {
      schema: job.record,
      id: job.id,
      updatedAtMs,
      prepare: target.prepare,
    },
    batches: bulk && { ...bulk, write: (batch) => bulk.write(batch.map(({ record }) => record)) },
    concurrency,
    pace: target.pace,
    closing,
    report: copying.report,
    outcomes,
    ...(copying.versions && { versions: copying.versions }),
    ...(updatedAt && { isOutside: outsideOf<R>(pass, log) }),
    failuresBeforeStop: settings.failuresBeforeStop,
    pageSettled: copying.pageSettled,
  });
  return ending === 'complete' ? { ending } : { ending, interrupted: closing.signal.reason as Interrupted };
}
