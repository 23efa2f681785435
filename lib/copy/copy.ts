import type { Versions } from '../engine/conclusions.ts';
import type { Ending } from '../engine/ending.ts';
import { sync } from '../engine/engine.ts';
import { Interrupted } from '../errors.ts';
import type { RecordOutcomes } from '../record-outcomes.ts';
import type { Report, SettledPage } from '../report.ts';
import type { PassUnderWay } from '../state/pass-under-way.ts';
import { guardWith, type Stops } from '../time/guard.ts';
import { watching } from './comparison.ts';
import type { Difference } from './differences.ts';
import { readPages } from './reading.ts';
import type { RemovalGuard } from './removal-guard.ts';
import { openServers, type Serving, updatedAtMsOf } from './servers.ts';
import { removeVanished, UNKNOWN, type Vanished } from './vanished.ts';
import { outsideOf } from './window.ts';

/** How a pass is copied. */
export interface Copying<R> extends Serving<R> {
  settings: Serving<R>['settings'] & { failuresBeforeStop: number };
  /** Copies these records instead of the list. */
  ids: string[] | undefined;
  /** The ids of records that failed before and are read again first. */
  failedBefore: string[];
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
}

/** How a pass has ended. */
export interface Copied {
  ending: Ending;
  interrupted?: Interrupted;
  vanished: Vanished;
  /** What a rehearsal has found to differ. */
  differences?: Difference[];
}

/**
 * Reads what a pass asks for, after the records that failed before, and writes it. Then removes what has vanished from the source.
 * @throws the errors of `sync`; nothing is in flight any more by then.
 */
export async function copy<R>(copying: Copying<R>): Promise<Copied> {
  try {
    return await copyWhole(copying);
  } catch (error) {
    if (error instanceof Interrupted) return endedBy(error);
    throw error;
  }
}

/** A pass that was interrupted before it began, or while it went on. */
export const endedBy = (interrupted: Interrupted): Copied => ({
  ending: interrupted.reason,
  interrupted,
  vanished: UNKNOWN,
});

/** @throws Interrupted as well, from what is done before the pass and after it */
async function copyWhole<R>(copying: Copying<R>): Promise<Copied> {
  const { job, settings, concurrency, pass, ids, shard, failedBefore, versions, report, log } = copying;
  const { closing, guard } = guardWith(copying.stops);
  await using resources = new AsyncDisposableStack();
  const servers = await openServers(copying, copying.removals !== undefined, guard, resources);
  const { source, target, comparison, differences } = servers;
  const watched =
    comparison &&
    watching(copying.outcomes, { held: comparison.held, idOf: job.id, readsOne: Boolean(job.source.one) });
  const outcomes = watched?.outcomes ?? copying.outcomes;
  const updatedAtMs = updatedAtMsOf(job);
  const { bulk, pace } = target;
  const readsAll = !ids && isWhole(pass);
  const engine = { concurrency, pace, closing, failuresBeforeStop: settings.failuresBeforeStop, report };
  const ending = await sync<R>({
    ...engine,
    pages: readPages({
      ...{ job, source, pass, ids, shard, failedBefore, outcomes, log },
      ...{ unowned: watched?.unowned, listed: watched?.listed },
    }),
    accept: { schema: job.record, id: job.id, updatedAtMs, prepare: target.prepare, idChanged: watched?.idChanged },
    batches: bulk,
    outcomes,
    ...(versions && { versions }),
    ...(updatedAtMs && { isOutside: outsideOf<R>(pass, log) }),
    pageSettled: copying.pageSettled,
  });
  if (ending !== 'complete') throw closing.signal.reason;
  const vanished = await removed();
  return {
    ending,
    vanished,
    ...(comparison && differences && { differences: await differences.told(comparison) }),
  };

  /** Removes what has vanished, where it is known. */
  async function removed(): Promise<Vanished> {
    if (!comparison || !watched || !(job.target.remove || differences) || !readsAll) return UNKNOWN;
    if (!watched.knowsAll() || pass.current().restart) {
      log.info('nothing that has vanished is removed: not all of the source was read');
      return UNKNOWN;
    }
    if (job.source.sharded && shard && shard.of > 1) {
      log.info('nothing that has vanished is removed: what one part of the source lacks, another may have');
      return UNKNOWN;
    }
    const removal = await removeVanished<R>({
      ...engine,
      ...{ comparison, target, pass, log, guard: copying.removals!, sourceIsEmpty: watched.sourceIsEmpty() },
      readOne: job.source.one && source.one,
      outcomes: {
        notRemoved: outcomes.notRemoved,
        done(id, as) {
          differences?.vanished(id);
          outcomes.done(id, as);
        },
      },
    });
    if (removal.ending !== 'complete') throw closing.signal.reason;
    return removal;
  }
}

/** Whether this run reads all of the source, from the beginning of the list on. */
function isWhole(pass: Pick<PassUnderWay, 'current'>): boolean {
  const { cursor, since, until, restart } = pass.current();
  return cursor === null && since === undefined && until === undefined && restart === undefined;
}
