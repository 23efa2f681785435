import { setMaxListeners } from 'node:events';
import type { Deadline } from './deadline.ts';
import { HttpError, SourceError } from './errors.ts';
import type { Backfill, Tick } from './event.ts';
import { createHttp } from './http.ts';
import { createPace } from './pace.ts';
import { type Pass, startOver } from './pass.ts';
import { type Problem, problemNotes, type Report } from './report.ts';
import { createSend, type Guard } from './request.ts';
import type { Invocation, Job } from './run.ts';
import type { Credentials, Secret } from './secrets.ts';
import { shardOf } from './shard.ts';
import { instantOf, MAX_PAGE_BYTES, openSource, type Page } from './source.ts';
import { type Ending, type SettledPage, sync } from './sync.ts';
import { type Fence, openTarget } from './target.ts';

/** What a pass is copied with, and where it is told how things go. */
export interface Copying<R> extends Pick<Invocation, 'settings' | 'log'> {
  runId: string;
  request: Tick | Backfill;
  credentials: Credentials;
  deadline: Deadline;
  pass: Pass;
  report: Report;
  problems: Problem[];
  /** Called before each attempt of each request. @throws LockLostError once the lease can have expired */
  check(): void;
  /** Fires when the lock is lost; a rehearsal has none to lose. */
  lost?: AbortSignal;
  /** Fires when nothing more should start, because what is done cannot be saved. */
  saveFailed?: AbortSignal;
  /** What keeps older holders out of the target; without one this is a rehearsal, and nothing is written. */
  fence?: Fence;
  recordWritten(id: string): void;
  /** The record was asked for by id and does not exist. */
  recordMissing(id: string): void;
  /** The record is not of the schema, or one that failed before cannot be read. */
  recordInvalid(id: string): void;
  recordFailed(id: string, record: R): void;
  pageSettled(page: SettledPage): void;
}

/** Records that are read by id come in pages of so many, read side by side. */
const IDS_PER_PAGE = 20;

/** An answer to a write is read to its end, but nothing in it is needed. */
const MAX_ANSWER_BYTES = 1024 * 1024;

/**
 * Reads what the pass asks for, after the records of `failedBefore`, and writes it.
 * @throws the errors of `sync`; nothing is in flight any more by then.
 */
export async function copy<R>(job: Job<R>, copying: Copying<R>, failedBefore: string[]): Promise<Ending> {
  const { settings, log, runId, request, credentials, deadline, pass, report, lost, saveFailed, fence } = copying;
  const noteProblem = problemNotes(copying.problems, log);
  const concurrency = (request.kind === 'backfill' && request.concurrency) || settings.concurrency;
  const closing = new AbortController();
  const close = (reason: unknown) => closing.abort(reason);
  const guard: Guard = {
    check: copying.check,
    closing: closing.signal,
    closesInMs: deadline.closesInMs,
    signal: AbortSignal.any(lost ? [lost, deadline.cut] : [deadline.cut]),
  };
  // Each write in flight listens to it.
  setMaxListeners(0, guard.signal, guard.closing);
  for (const signal of [deadline.closing, lost, saveFailed]) {
    if (!signal) continue;
    if (signal.aborted) close(signal.reason);
    signal.addEventListener('abort', () => close(signal.reason), { once: true });
  }

  await using sourceHttp = createHttp(settings.source.url, {
    timeoutMs: settings.source.timeoutMs,
    connections: 4,
    maxBytes: MAX_PAGE_BYTES,
    signal: guard.signal,
  });
  await using targetHttp = createHttp(settings.target.url, {
    timeoutMs: settings.target.timeoutMs,
    connections: concurrency,
    maxBytes: MAX_ANSWER_BYTES,
    signal: guard.signal,
  });
  const pace = createPace({ concurrency, perSecond: settings.maxWritesPerSecond });
  const atSource = {
    ...{ name: 'source', credentials, guard },
    authorization: (secret: Secret) => job.source.authorization(secret.source),
  };
  const source = openSource(job.source, {
    baseUrl: settings.source.url,
    send: createSend({ ...atSource, http: sourceHttp }),
    stream: createSend({ ...atSource, http: { send: sourceHttp.stream } }),
  });
  const write = !fence
    ? async () => {}
    : openTarget({
        job: job.target,
        send: createSend({
          name: 'target',
          http: targetHttp,
          credentials,
          pace,
          authorization: (secret) => `Bearer ${secret.target.token}`,
          guard,
        }),
        regionId: settings.target.regionId,
        runId,
        id: job.id,
        fence,
      });
  const { updatedAt } = job;
  return await sync({
    ...{ pages: ownPages(), schema: job.record, id: job.id, write, concurrency, pace, closing },
    ...{ log, report, note: noteProblem },
    ...{ recordWritten: copying.recordWritten, recordInvalid: copying.recordInvalid },
    ...{ recordFailed: copying.recordFailed, pageSettled: copying.pageSettled },
    updatedAt: updatedAt && ((record: R) => instantOf(updatedAt(record))),
    failuresBeforeStop: settings.failuresBeforeStop,
  });

  /** Those records of each page that belong to this shard. */
  async function* ownPages(): AsyncGenerator<Page> {
    const { shard } = request;
    if (!shard || shard.of === 1 || job.source.sharded) return yield* pagesOf();
    for await (const page of pagesOf()) {
      const records = page.records.filter((raw) => shardOf(idOf(job, raw), shard.of) === shard.index);
      yield { ...page, records };
    }
  }

  async function* pagesOf(): AsyncGenerator<Page> {
    // Records that failed before are read again first; the cursor stays where it is.
    yield* recordsById(failedBefore, () => pass.cursor, readAgain);
    if (request.kind === 'backfill' && request.ids) {
      const ids = [...new Set(request.ids)].filter(
        (id) => shardOf(id, request.shard?.of ?? 1) === (request.shard?.index ?? 0),
      );
      const todo = pass.cursor === null ? ids : ids.slice(ids.indexOf(pass.cursor) + 1);
      yield* recordsById(todo, (last) => (last === ids.at(-1) ? null : last));
    } else {
      yield* listedPages();
    }
  }

  /** One record that the source refuses to show must not keep every later tick from its work. */
  async function readAgain(id: string): Promise<unknown> {
    try {
      return await source.one(id);
    } catch (error) {
      if (!isRefusedRecord(error)) throw error;
      copying.recordInvalid(id);
      noteProblem({ id, kind: 'failed', reason: error.message });
      return UNREADABLE;
    }
  }

  async function* recordsById(
    ids: string[],
    cursorAfter: (last: string) => string | null,
    read: (id: string) => Promise<unknown> = source.one,
  ): AsyncGenerator<Page> {
    for (let start = 0; start < ids.length; start += IDS_PER_PAGE) {
      const chunk = ids.slice(start, start + IDS_PER_PAGE);
      const answers = await Promise.all(chunk.map((id) => read(id)));
      const missing = chunk.filter((_, index) => answers[index] === undefined);
      for (const id of missing) {
        copying.recordMissing(id);
        noteProblem({ id, kind: 'missing', reason: 'the source knows no record of this id' });
      }
      const records = answers.filter((record) => record !== undefined && record !== UNREADABLE);
      yield { records, cursor: cursorAfter(chunk.at(-1)!), missing: missing.length };
    }
  }

  async function* listedPages(): AsyncGenerator<Page> {
    if (pass.cursor !== null) {
      const pages = source.pages({ ...pass, shard: request.shard }, pass.cursor)[Symbol.asyncIterator]();
      const first = await pages.next().catch((error) => {
        if (!isRefusal(error)) throw error;
        log.warn('the source no longer takes the saved cursor: the same window starts over', { error });
      });
      if (first) {
        if (!first.done) yield first.value;
        return yield* { [Symbol.asyncIterator]: () => pages };
      }
      Object.assign(pass, startOver(pass));
    }
    for await (const page of source.pages({ ...pass, shard: request.shard }, null)) {
      pass.sourceClock ??= source.clock;
      yield page;
    }
  }
}

const UNREADABLE = Symbol('unreadable');

/** An answer about this record; a source that is down or throttles says nothing about it. */
const isRefusedRecord = (error: unknown): error is SourceError =>
  error instanceof SourceError &&
  !(error.cause instanceof HttpError) &&
  (error.status === undefined || (error.status < 500 && error.status !== 429));

/** An answer to the request as such; another status says nothing about the cursor. */
const isRefusal = (error: unknown) =>
  error instanceof SourceError && (error.cursorRefused || [400, 404, 410, 422].includes(error.status ?? 0));

/** The id of a record that has not been checked yet. */
function idOf<R>(job: Job<R>, raw: unknown): unknown {
  try {
    return job.id(raw as R);
  } catch {
    return;
  }
}
