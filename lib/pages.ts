import { HttpError, SourceError } from './errors.ts';
import type { Backfill, Tick } from './event.ts';
import type { Log } from './log.ts';
import { type Pass, startOver } from './pass.ts';
import type { Problem } from './report.ts';
import type { Job } from './run.ts';
import { shardOf } from './shard.ts';
import type { Page, Source } from './source.ts';

/** What is read for, and who is told of what cannot be. */
interface Reading {
  request: Tick | Backfill;
  /** Where reading begins; begins anew where the source no longer takes its cursor. */
  pass: Pass;
  log: Log;
  note(problem: Problem): void;
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
  const isOurs = (id: unknown) => !shard || shardOf(id, shard.of) === shard.index;

  yield* byId(failedBefore, () => undefined, readAgain);
  if (request.kind === 'backfill' && request.ids) {
    const ids = [...new Set(request.ids)].filter(isOurs);
    const todo = pass.cursor === null ? ids : ids.slice(ids.indexOf(pass.cursor) + 1);
    yield* byId(todo, (last) => (last === ids.at(-1) ? null : last), readOne);
  } else if (!shard || shard.of === 1 || job.source.sharded) {
    yield* listed();
  } else {
    for await (const page of listed()) {
      yield { ...page, records: page.records.filter((raw) => isOurs(idOf(job, raw))) };
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
    reading.recordMissing(id);
    note({ id, kind: 'missing', reason: 'the source knows no record of this id' });
    return { missing: 1 };
  }

  /** One record that the source refuses to show must not keep every later tick from its work. */
  async function readAgain(id: string): Promise<Partial<Page>> {
    try {
      return await readOne(id);
    } catch (error) {
      if (!isAboutRecord(error)) throw error;
      reading.recordUnreadable(id, error.message);
      note({ id, kind: 'failed', reason: error.message });
      return {};
    }
  }

  async function* listed(): AsyncGenerator<Page> {
    if (pass.cursor !== null) {
      const pages = source.pages({ ...pass, shard }, pass.cursor)[Symbol.asyncIterator]();
      const first = await pages.next().catch((error) => {
        if (!isAboutCursor(error)) throw error;
        log.warn('the source no longer takes the saved cursor: the same window starts over', { error });
      });
      if (first) {
        if (!first.done) yield first.value;
        return yield* { [Symbol.asyncIterator]: () => pages };
      }
      Object.assign(pass, startOver(pass));
    }
    for await (const page of source.pages({ ...pass, shard }, null)) {
      pass.sourceClock ??= source.clock;
      yield page;
    }
  }
}

/** An answer about this record; a source that is down or throttles says nothing about it. */
const isAboutRecord = (error: unknown): error is SourceError =>
  error instanceof SourceError &&
  !(error.cause instanceof HttpError) &&
  (error.status === undefined || (error.status < 500 && error.status !== 429));

/** An answer to the request as such; another status says nothing about the cursor. */
const isAboutCursor = (error: unknown) =>
  error instanceof SourceError && (error.cursorRefused || [400, 404, 410, 422].includes(error.status ?? 0));

/** The id of a record that has not been checked yet. */
function idOf<R>(job: Job<R>, raw: unknown): unknown {
  try {
    return job.id(raw as R);
  } catch {
    return;
  }
}
