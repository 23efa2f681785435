import { HttpError, SourceError } from '../errors.ts';
import type { Job, Page } from '../job.ts';
import type { Log } from '../log.ts';
import type { Source } from '../read/source.ts';
import type { RecordOutcomes } from '../record-outcomes.ts';
import { type Shard, shardOf } from '../shard.ts';
import type { PassUnderWay } from '../state/pass-under-way.ts';

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
  outcomes: Pick<RecordOutcomes<R>, 'missing' | 'unreadable'>;
  log: Log;
}

/** Records that are read by id come in pages of this size, read side by side. */
const IDS_PER_PAGE = 20;

/**
 * Reads the records that failed before once more, then the ids that are asked for, or the list from the pass's cursor on.
 * Of a job in shards it gives the shard's own records.
 * @throws what the source throws
 */
export async function* readPages<R>(reading: Reading<R>): AsyncGenerator<Page> {
  const { ids, shard } = reading;
  if (ids) {
    const missing = yield* readAgain(reading, false);
    if (missing > 0) yield outsideOfList([], missing);
    yield* readIds(reading, shard ? ids.filter((id) => shardOf(id, shard.of) === shard.index) : ids);
    return;
  }
  const list = ownPages(reading);
  // Before the failed records, because a gateway may answer 403 or 404 to everything for a while: what the source says
  // about single records counts once it has answered the list.
  const first = await list.next();
  const missing = yield* readAgain(reading, true);
  if (!first.done) yield missing > 0 ? { ...first.value, missing } : first.value;
  else if (missing > 0) yield outsideOfList([], missing);
  yield* list;
}

/**
 * Reads the records that failed before. One that the source refuses to show must not keep every later tick from its work.
 * @param listAnswered that the source is up, so that a failure to read is the record's
 * @returns the number of records that do not exist
 */
async function* readAgain<R>(reading: Reading<R>, listAnswered: boolean): AsyncGenerator<Page, number> {
  const { job, source, failedBefore, outcomes } = reading;
  /** What could not be read; without a reason where the source knows no such record. */
  const doubts: { id: string; reason?: string }[] = [];
  let down = false;

  async function readOne(id: string): Promise<unknown[]> {
    try {
      const record = await source.one(id);
      if (record === undefined) doubts.push({ id });
      // Written under its own id, it would come back here again and again.
      else if ((await idOf(job, record)) !== id) outcomes.unreadable(id, 'the source answers with another record');
      return record === undefined ? [] : [record];
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      doubts.push({ id, reason: error.message });
      down ||= !isAboutRecord(error);
      return [];
    }
  }

  for (const chunk of inChunks(failedBefore)) {
    yield outsideOfList((await Promise.all(chunk.map(readOne))).flat());
    if (down) break;
  }
  if (down && !listAnswered) return 0;
  for (const { id, reason } of doubts) reason === undefined ? outcomes.missing(id) : outcomes.unreadable(id, reason);
  return doubts.filter(({ reason }) => reason === undefined).length;
}

/** Reads single records, from the one after the pass's cursor on. A page's cursor is its last id. */
async function* readIds<R>({ source, pass, outcomes }: Reading<R>, ids: string[]): AsyncGenerator<Page> {
  const all = [...new Set(ids)];
  const { cursor } = pass.current();
  for (const chunk of inChunks(cursor === null ? all : all.slice(all.indexOf(cursor) + 1))) {
    const records = await Promise.all(chunk.map((id) => source.one(id)));
    const missing = chunk.filter((_, index) => records[index] === undefined);
    for (const id of missing) outcomes.missing(id);
    const last = chunk.at(-1)!;
    const found = records.filter((record) => record !== undefined);
    yield { records: found, missing: missing.length, cursor: last === all.at(-1) ? null : last };
  }
}

/** The pages of the list; where the source cannot be asked for a shard, without the records of the other shards. */
async function* ownPages<R>(reading: Reading<R>): AsyncGenerator<Page> {
  const { job, shard } = reading;
  if (!shard || shard.of === 1 || job.source.sharded) return yield* listPages(reading);
  for await (const page of listPages(reading)) {
    const ids = await Promise.all(page.records.map((raw) => idOf(job, raw)));
    yield { ...page, records: page.records.filter((_, index) => shardOf(ids[index], shard.of) === shard.index) };
  }
}

/** The list from the pass's cursor on, or from its beginning where the source refuses that cursor. */
async function* listPages<R>({ source, pass, shard, log }: Reading<R>): AsyncGenerator<Page> {
  const { since, until, cursor } = pass.current();
  const window = { since, until, shard };
  let refusal: unknown;
  if (cursor !== null) {
    const pages = source.pages(window, cursor);
    const first = await pages.next().catch((error) => {
      if (!isAboutCursor(error)) throw error;
      refusal = error;
    });
    if (first) return yield* resumed(first, pages);
  }
  const pages = source.pages(window, null);
  const first = await pages.next();
  // Not before: a source that refuses the beginning as well says nothing about the cursor, which is kept then.
  if (refusal) {
    log.warn('the source no longer takes the saved cursor: the same window starts over', { error: refusal });
    pass.startOver();
  }
  pass.sourceClock(source.clock);
  yield* resumed(first, pages);
}

async function* resumed(first: IteratorResult<Page>, rest: AsyncGenerator<Page>): AsyncGenerator<Page> {
  if (first.done) return;
  yield first.value;
  yield* rest;
}

const outsideOfList = (records: unknown[], missing = 0): Page => ({ records, missing, cursor: undefined });

function* inChunks(ids: string[]): Generator<string[]> {
  for (let start = 0; start < ids.length; start += IDS_PER_PAGE) yield ids.slice(start, start + IDS_PER_PAGE);
}

/** The answer is about this record; a source that is down or throttles says nothing about it. */
const isAboutRecord = (error: SourceError) =>
  !(error.cause instanceof HttpError) && (error.status === undefined || (error.status < 500 && error.status !== 429));

/** The answer is about the request as such; another status says nothing about the cursor. */
const isAboutCursor = (error: unknown) =>
  error instanceof SourceError && (error.cursorRefused || [400, 404, 410, 422].includes(error.status ?? 0));

/** The id that the record is written with; where it does not match the schema, what the job makes of the raw record. */
async function idOf<R>(job: Pick<Job<R>, 'record' | 'id'>, raw: unknown): Promise<unknown> {
  try {
    const checked = await job.record['~standard'].validate(raw);
    return job.id(checked.issues ? (raw as R) : checked.value);
  } catch {
    return;
  }
}
