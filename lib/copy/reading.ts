import { HttpError, SourceError } from '../errors.ts';
import type { Backfill, Tick } from '../event.ts';
import type { Log } from '../log.ts';
import type { Page, Source } from '../read/source.ts';
import { COUNTS, type Problem } from '../report.ts';
import type { Job } from '../run/run.ts';
import { shardOf } from '../shard.ts';
import { startOver } from '../state/pass.ts';
import type { Pass } from '../state/state.ts';

/** What is read for, and who is told of what cannot be. */
export interface Reading {
  request: Tick | Backfill;
  /** Where reading begins; begins anew where the source no longer takes its cursor. */
  pass: Pass;
  log: Log;
  note(problem: Problem): void;
  /** The record was asked for by id and does not exist. */
  recordMissing(id: string): void;
  /** A record that failed before cannot be read. */
  recordUnreadable(id: string, reason: string): void;
}

/** Records that are read by id come in pages of so many, read side by side. */
const IDS_PER_PAGE = 20;

/**
 * All that a request reads: the records of `failedBefore` once more, then those whose ids it names, or the list from the
 * pass's cursor on; of a job in shards, the shard's own.
 * @throws what the source throws
 */
export async function* pagesOf<R>(
  job: Job<R>,
  source: Source,
  failedBefore: string[],
  reading: Reading,
): AsyncGenerator<Page> {
  const { request, pass, log, note } = reading;
  const { shard } = request;
  const countsBefore = { ...pass.counts };
  /**
   * Records that failed before and could not be read; without a reason where the source says that there is none. They are
   * told only when it has answered the list, because a gateway may answer 403 or 404 to everything for a while.
   */
  let doubtful: { id: string; reason?: string }[] = [];
  let down = false;
  const isOurs = (id: unknown) => !shard || shardOf(id, shard.of) === shard.index;

  for await (const page of byId(failedBefore, () => undefined, readAgain)) {
    yield page;
    // If it is the source that is down, the list will tell.
    if (down) break;
  }
  if (request.kind === 'backfill' && request.ids) {
    const ids = [...new Set(request.ids)].filter(isOurs);
    if (!down) yield* ofDoubtful();
    const todo = pass.cursor === null ? ids : ids.slice(ids.indexOf(pass.cursor) + 1);
    yield* byId(todo, (last) => (last === ids.at(-1) ? null : last), readOne);
  } else if (!shard || shard.of === 1 || job.source.sharded) {
    yield* listed();
  } else {
    for await (const page of listed()) {
      const ids = await Promise.all(page.records.map((raw) => idOf(job, raw)));
      yield { ...page, records: page.records.filter((_, index) => isOurs(ids[index])) };
    }
  }

  async function* byId(
    ids: string[],
    cursorAfter: (last: string) => Page['cursor'],
    read: (id: string) => Promise<Partial<Page>>,
  ): AsyncGenerator<Page> {
    for (let start = 0; start < ids.length; start += IDS_PER_PAGE) {
      const chunk = ids.slice(start, start + IDS_PER_PAGE);
      const parts = await Promise.all(chunk.map(read));
      const records = parts.flatMap((part) => part.records ?? []);
      const missing = parts.filter((part) => part.missing).length;
      yield { records, missing, cursor: cursorAfter(chunk.at(-1)!) };
    }
  }

  async function readOne(id: string): Promise<Partial<Page>> {
    const record = await source.one(id);
    if (record !== undefined) return { records: [record] };
    missing(id);
    return { missing: 1 };
  }

  /** One record that the source refuses to show must not keep every later tick from its work. */
  async function readAgain(id: string): Promise<Partial<Page>> {
    try {
      const record = await source.one(id);
      if (record !== undefined) {
        // Of another id, which would be written again and again.
        if ((await idOf(job, record)) !== id) unreadable(id, 'the source answers with another record');
        return { records: [record] };
      }
      doubtful.push({ id });
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      doubtful.push({ id, reason: error.message });
      down ||= !isAboutRecord(error);
    }
    return {};
  }

  function missing(id: string) {
    reading.recordMissing(id);
    note({ id, kind: 'missing', reason: 'the source knows no record of this id' });
  }

  /** @returns how many of them are missing */
  function tellDoubtful(): number {
    const told = doubtful;
    doubtful = [];
    for (const { id, reason } of told) reason === undefined ? missing(id) : unreadable(id, reason);
    return told.filter(({ reason }) => reason === undefined).length;
  }

  function unreadable(id: string, reason: string) {
    reading.recordUnreadable(id, reason);
    note({ id, kind: 'failed', reason });
  }

  async function* listed(): AsyncGenerator<Page> {
    for await (const page of fromCursor()) {
      // The source is up, so it was about them.
      yield doubtful.length > 0 ? { ...page, missing: tellDoubtful() } : page;
    }
    // A list of one's own may have no page at all where there is no record.
    yield* ofDoubtful();
  }

  function* ofDoubtful(): Generator<Page> {
    if (doubtful.length > 0) yield { records: [], missing: tellDoubtful(), cursor: undefined };
  }

  async function* fromCursor(): AsyncGenerator<Page> {
    let refusal: unknown;
    if (pass.cursor !== null) {
      let taken = false;
      try {
        for await (const page of source.pages({ ...pass, shard }, pass.cursor)) {
          taken = true;
          yield page;
        }
        return;
      } catch (error) {
        if (taken || !isAboutCursor(error)) throw error;
        refusal = error;
      }
    }
    for await (const page of source.pages({ ...pass, shard }, null)) {
      // Not before: a source that refuses the beginning as well says nothing about the cursor.
      if (refusal) beginAnew(refusal);
      refusal = undefined;
      pass.sourceClock ??= source.clock;
      yield page;
    }
  }

  function beginAnew(error: unknown) {
    log.warn('the source no longer takes the saved cursor: the same window starts over', { error });
    // What was read again by id in this run stays.
    const { counts } = pass;
    Object.assign(pass, startOver(pass));
    for (const name of COUNTS) pass.counts[name] = counts[name] - countsBefore[name];
  }
}

/** An answer about this record; a source that is down or throttles says nothing about it. */
const isAboutRecord = (error: SourceError) =>
  !(error.cause instanceof HttpError) && (error.status === undefined || (error.status < 500 && error.status !== 429));

/** An answer to the request as such; another status says nothing about the cursor. */
const isAboutCursor = (error: unknown) =>
  error instanceof SourceError && (error.cursorRefused || [400, 404, 410, 422].includes(error.status ?? 0));

/** The id that the record is written with; of one that is not of the schema, what the job makes of it as it came. */
async function idOf<R>(job: Job<R>, raw: unknown): Promise<unknown> {
  try {
    const checked = await job.record['~standard'].validate(raw);
    return job.id(checked.issues ? (raw as R) : checked.value);
  } catch {
    return;
  }
}
