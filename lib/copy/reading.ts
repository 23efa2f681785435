import type { ReadPage } from '../engine/engine.ts';
import { SourceError } from '../errors.ts';
import type { Job, Page } from '../job-types.ts';
import type { Log } from '../log.ts';
import type { Source } from '../read/source.ts';
import type { RecordOutcomes } from '../record-outcomes.ts';
import { type Shard, shardOf } from '../shard.ts';
import type { PassUnderWay } from '../state/pass-under-way.ts';
import { idOf, outsideOfList, readAgain, readIds } from './single-records.ts';

/** What a run reads. */
export interface Reading<R> {
  job: Pick<Job<R>, 'record' | 'id' | 'source'>;
  source: Source;
  /** Says where to begin; begins again where the source no longer takes its cursor. */
  pass: PassUnderWay;
  /** Reads these records instead of the list. */
  ids: string[] | undefined;
  shard: Shard | undefined;
  /** The ids of records that failed before and are read again. */
  failedBefore: string[];
  /** Called where nobody knows which shard a record belongs to, so that only the first one reads it. */
  unowned?: (() => void) | undefined;
  /** Receives how many records a page of the list has, of all shards. */
  listed?: ((records: number) => void) | undefined;
  outcomes: Pick<RecordOutcomes<R>, 'missing' | 'unreadable'>;
  log: Log;
}

/**
 * Reads the records that failed before once more, then the ids that are asked for, or the list from the pass's cursor on.
 * Of a job in shards it gives the shard's own records.
 * @throws what the source throws
 */
export async function* readPages<R>(reading: Reading<R>): AsyncGenerator<ReadPage> {
  const { ids, shard } = reading;
  const doubts = yield* readAgain(reading);
  if (ids) {
    if (doubts.count() > 0 && !doubts.sourceDown) yield outsideOfList([], doubts.report());
    yield* readIds(reading, shard ? ids.filter((id) => shardOf(id, shard.of) === shard.index) : ids);
    return;
  }
  for await (const page of ownPages(reading)) {
    // The source answers its list, so what it said about single records was about them.
    yield doubts.count() > 0 ? { ...page, missing: doubts.report() } : page;
  }
  // A list of one's own may have no page at all where there is no record.
  if (doubts.count() > 0) yield outsideOfList([], doubts.report());
}

/** The pages of the list; where the source cannot be asked for a shard, without the records of the other shards. */
async function* ownPages<R>(reading: Reading<R>): AsyncGenerator<Page> {
  const { job, shard } = reading;
  if (!shard || shard.of === 1 || job.source.sharded) return yield* listPages(reading);
  for await (const page of listPages(reading)) {
    const ids = await Promise.all(page.records.map((raw) => idOf(job, raw)));
    if (ids.some((id) => typeof id !== 'string')) reading.unowned?.();
    yield { ...page, records: page.records.filter((_, index) => shardOf(ids[index], shard.of) === shard.index) };
  }
}

/** The list from the pass's cursor on; where the source refuses that cursor, from where the pass restarts. */
async function* listPages<R>({ source, pass, shard, listed, log }: Reading<R>): AsyncGenerator<Page> {
  const { since, until, cursor, restart } = pass.current();
  const window = { since: restart ? restart.since : since, until, shard };
  let refusal: unknown;
  if (cursor !== null) {
    let taken = false;
    try {
      for await (const page of source.pages(window, cursor)) {
        taken = true;
        listed?.(page.records.length);
        yield page;
      }
      return;
    } catch (error) {
      if (taken || !isAboutCursor(error)) throw error;
      refusal = error;
    }
  }
  for await (const page of source.pages(refusal ? { ...window, since: pass.restartsAt() } : window, null)) {
    // Not before: a source that refuses the beginning as well says nothing about the cursor, which is kept then.
    if (refusal) startOver(pass, refusal, log);
    refusal = undefined;
    pass.sourceClock(source.clock);
    listed?.(page.records.length);
    yield page;
  }
}

function startOver(pass: PassUnderWay, refusal: unknown, log: Log): void {
  pass.startOver();
  const { since, restart } = pass.current();
  const from = restart?.since === since ? 'the same window starts over' : `it is read again from ${restart?.since} on`;
  log.warn(`the source no longer takes the saved cursor: ${from}`, { error: refusal });
}

/** The answer is about the request as such; another status says nothing about the cursor. */
const isAboutCursor = (error: unknown) =>
  error instanceof SourceError && (error.cursorRefused || [400, 404, 410, 422].includes(error.status ?? 0));
