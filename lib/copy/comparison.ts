import { idOfRaw } from '../engine/accept.ts';
import { Interrupted, SourceError } from '../errors.ts';
import type { List, TargetJob } from '../job-types.ts';
import type { Log } from '../log.ts';
import type { SourceServer } from '../read/source.ts';
import { openTargetList } from '../read/target-list.ts';
import type { RecordOutcomes } from '../record-outcomes.ts';
import type { Shard } from '../shard.ts';
import type { Held } from '../write/held.ts';
import { type Existing, existingRecords, readHeld } from './reading-target.ts';

/** A job whose target can be listed. */
export type Listed<R> = TargetJob<R> & { list: List; existing: NonNullable<TargetJob<R>['existing']> };

/** What a pass compares the source with. */
export interface Comparison {
  held: Held;
  /** Lists the target once more. */
  existing(): AsyncIterable<Existing[]>;
}

/** Whether the job says how to list its target. */
export const isListed = <R>(job: TargetJob<R>): job is Listed<R> => Boolean(job.list && job.existing);

/**
 * Reads what the target holds, before a pass compares the source with it.
 * @param options.insists a target that cannot be listed is an error
 * @param resources takes the connections to the target
 * @returns undefined where the target could not be listed within half of the run's time, which is logged: the pass then goes as
 * without it
 * @throws Interrupted, SourceError where the pass insists, and what concerns the run
 */
export async function compareWith<R>(
  job: Listed<R>,
  server: SourceServer,
  options: { shard: Shard | undefined; insists: boolean; log: Log },
  resources: AsyncDisposableStack,
): Promise<Comparison | undefined> {
  const { shard, insists, log } = options;
  const { closing, closesInMs } = server.guard;
  const list = resources.use(openTargetList(job, server));
  const reading = (signal: AbortSignal) => ({ list: list.pages({}, null), existing: job.existing, shard, signal });
  using time = partOfTheTime(insists ? closesInMs() : closesInMs() / 2, closing);
  try {
    const held = await readHeld(reading(time.signal));
    log.info(`the target holds ${held.size()} records: only what differs is written`);
    return { held, existing: () => existingRecords(reading(closing)) };
  } catch (error) {
    // Reads may have a quota of their own, so the writes are tried.
    const isThrottled = error instanceof Interrupted && error.reason === 'throttled';
    if (insists || !(error instanceof SourceError || isThrottled)) throw error;
    log.warn('the target could not be listed, so everything is written, and nothing that has vanished is removed', {
      error,
    });
    return undefined;
  }
}

/** A signal that aborts with the run, or when the list has taken so long that no time would be left to write. */
function partOfTheTime(ms: number, closing: AbortSignal): { signal: AbortSignal } & Disposable {
  const over = new AbortController();
  const end = () => over.abort(closing.reason);
  const late = () => over.abort(new SourceError(`the list of the target took longer than ${Math.ceil(ms / 1000)} s`));
  const timer = setTimeout(late, ms);
  if (closing.aborted) end();
  closing.addEventListener('abort', end);
  return {
    signal: over.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      closing.removeEventListener('abort', end);
    },
  };
}

/**
 * Notes which records the source has beside those that are written, and whether that is known of all.
 * @param readsOne that the source is asked for a record before it is removed
 */
export function watching<R>(
  outcomes: RecordOutcomes<R>,
  { held, idOf, readsOne }: { held: Held; idOf: (record: R) => string; readsOne: boolean },
): {
  outcomes: RecordOutcomes<R>;
  unowned(): void;
  listed(records: number): void;
  idChanged(): void;
  knowsAll(): boolean;
  sourceIsEmpty(): boolean;
} {
  let knowsAll = true;
  let idsChange = false;
  let guessed = false;
  let isEmpty = true;
  return {
    /** The source has a record of which nobody knows the id. */
    unowned() {
      knowsAll = false;
    },
    /** The list of the source has so many records more, of all shards. */
    listed(records) {
      if (records > 0) isEmpty = false;
    },
    /** The schema makes other ids of records, so that of an invalid one is a guess. */
    idChanged() {
      idsChange = true;
    },
    outcomes: {
      ...outcomes,
      invalid(id, reason, raw) {
        const own = idOfRaw(idOf, raw);
        if (own === undefined) knowsAll = false;
        else if (held.holds(own)) held.seen(own);
        else guessed = true;
        return outcomes.invalid(id, reason, raw);
      },
      unreadable(id, reason) {
        knowsAll = false;
        outcomes.unreadable(id, reason);
      },
    },
    sourceIsEmpty: () => isEmpty,
    knowsAll: () => knowsAll && !(guessed && idsChange && !readsOne),
  };
}
