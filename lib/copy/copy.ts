import type { Versions } from '../engine/conclusions.ts';
import type { Ending } from '../engine/ending.ts';
import { sync } from '../engine/engine.ts';
import { Interrupted } from '../errors.ts';
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
import { type Comparison, compareWith, isListed, watching } from './comparison.ts';
import { type Difference, noteDifferences } from './differences.ts';
import { readPages } from './reading.ts';
import { type Removal, type RemovalGuard, removeVanished } from './vanished.ts';
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
  /**
   * Where the job can list its target, writes only what differs from it, and removes what has vanished from the source; without
   * it, every record is written.
   */
  removals?: RemovalGuard | undefined;
  /** Without it, no version is known to need no write. */
  versions?: Versions<R>;
  pageSettled(page: SettledPage): void;
  /** Called for each answer that throttles, and for each 503. */
  throttled?: () => void;
  log: Log;
}

/** How a pass has ended. */
export interface Copied {
  ending: Ending;
  interrupted?: Interrupted;
  /** What the guard has withheld; absent where nobody knows what has vanished. */
  removals?: Exclude<Removal['withheld'], undefined> | null;
  /** What a rehearsal has found to differ. */
  differences?: Difference[];
}

/**
 * Reads what a pass asks for, after the records that failed before, and writes it. Then removes what has vanished from the source.
 * @throws the errors of `sync`; nothing is in flight any more by then.
 */
export async function copy<R>(copying: Copying<R>): Promise<Copied> {
  const { job, settings, concurrency, credentials, fence, throttled, pass, ids, shard, log } = copying;
  const { closing, guard } = guardWith(copying.stops);
  const { updatedAt } = job;
  const updatedAtMs = updatedAt && ((record: R) => msOf(updatedAt(record)));
  const changes = countingChanges(pass);
  const { own, failuresBeforeStop } = settings;
  const { runId } = pass.current();
  const writing = { id: job.id, deleted: job.deleted, runId, updatedAtMs, changes, settings: own };
  const agent = { service: settings.service, job: job.name };
  const asking = { credentials, guard, agent, throttled };
  const reading = { ...asking, settings: own, perSecond: settings.maxReadsPerSecond };
  await using resources = new AsyncDisposableStack();
  const source = resources.use(openSource(job.source, { ...settings.source, ...reading }));
  let comparison: Comparison | undefined;
  if (copying.removals && isListed(job.target)) {
    try {
      comparison = await compareWith(
        job.target,
        { ...settings.target, ...reading },
        { shard, log, insists: !fence },
        resources,
      );
    } catch (error) {
      if (error instanceof Interrupted) return { ending: error.reason, interrupted: error };
      throw error;
    }
  }
  const held = comparison?.held;
  const differences = fence ? undefined : noteDifferences();
  const serving = { ...settings.target, ...asking, concurrency, perSecond: settings.maxWritesPerSecond };
  const target = resources.use(
    fence
      ? openTarget(job.target, writing, fence, serving, held)
      : openRehearsal(job.target, writing, held, differences?.differs),
  );
  const watched = held && watching(copying.outcomes, { held, idOf: job.id });
  const outcomes = watched?.outcomes ?? copying.outcomes;
  const readsAll = !ids && isWhole(pass);
  const { bulk } = target;
  const writingAll = { concurrency, pace: target.pace, closing, failuresBeforeStop, report: copying.report };
  const ending = await sync<R>({
    ...writingAll,
    pages: readPages({ job, source, pass, ids, shard, failedBefore: copying.failedBefore, outcomes, log }),
    accept: { schema: job.record, id: job.id, updatedAtMs, prepare: target.prepare },
    batches: bulk && { ...bulk, write: (batch) => bulk.write(batch.map(({ record }) => record)) },
    outcomes,
    ...(copying.versions && { versions: copying.versions }),
    ...(updatedAt && { isOutside: outsideOf<R>(pass, log) }),
    pageSettled: copying.pageSettled,
  });
  const interrupted = () => closing.signal.reason as Interrupted;
  if (ending !== 'complete') return { ending, interrupted: interrupted() };
  if (!comparison || !job.target.remove || !readsAll) return { ending, ...(await told()) };
  if (!watched?.knowsAll() || pass.current().restart) {
    log.info('nothing that has vanished is removed: not all of the source was read');
    return { ending, ...(await told()) };
  }
  const removal = await removeVanished<R>({
    ...writingAll,
    ...{ comparison, target, pass, log, guard: copying.removals! },
    readOne: job.source.one && source.one,
    outcomes: {
      notRemoved: outcomes.notRemoved,
      done(id, as) {
        differences?.vanished(id);
        outcomes.done(id, as);
      },
    },
  });
  if (removal.ending !== 'complete') return { ending: removal.ending, interrupted: interrupted() };
  return { ending, removals: removal.withheld ?? null, ...(await told()) };

  async function told(): Promise<Pick<Copied, 'differences'>> {
    return comparison && differences ? { differences: await differences.told(comparison) } : {};
  }
}

/** Whether this run reads all of the source, from the beginning of the list on. */
function isWhole(pass: Pick<PassUnderWay, 'current'>): boolean {
  const { cursor, since, until, restart } = pass.current();
  return cursor === null && since === undefined && until === undefined && restart === undefined;
}
