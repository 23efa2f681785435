import { setMaxListeners } from 'node:events';
import type { Deadline } from './deadline.ts';
import { FenceAheadError, SupersededError } from './errors.ts';
import type { Backfill, Tick } from './event.ts';
import { createHttp } from './http.ts';
import type { Lock } from './mutex.ts';
import type { Problem, Report } from './report.ts';
import { createSend, type Guard } from './request.ts';
import type { Invocation, Job } from './run.ts';
import type { Credentials } from './secrets.ts';
import type { Session } from './session.ts';
import { MAX_PAGE_BYTES, openSource, type Page, type Source } from './source.ts';
import { type Ending, sync } from './sync.ts';
import { openTarget } from './target.ts';

/** What a run that holds the lock has in hand. */
export interface Held extends Invocation {
  runId: string;
  session: Session;
  lock: Lock;
  deadline: Deadline;
  credentials: Credentials;
  report: Report;
  problems: Problem[];
}

/** An answer to a write is read to its end, but nothing in it is needed. */
const MAX_ANSWER_BYTES = 1024 * 1024;

/**
 * The work under the lock: reads what `request` asks for and writes it.
 * @throws the errors of `sync`; nothing is in flight any more by then.
 */
export async function copy<R>(job: Job<R>, request: Tick | Backfill, held: Held): Promise<Ending> {
  const { settings, session, lock, deadline, credentials, log, report, problems, runId } = held;
  const concurrency = (request.kind === 'backfill' && request.concurrency) || settings.concurrency;
  const closing = new AbortController();
  const close = (reason: unknown) => closing.abort(reason);
  const guard: Guard = {
    check: session.check,
    closing: closing.signal,
    signal: AbortSignal.any([session.signal, deadline.cut]),
  };
  // Each write in flight listens to it.
  setMaxListeners(0, guard.signal, guard.closing);
  for (const signal of [deadline.closing, session.signal]) {
    if (signal.aborted) close(signal.reason);
    signal.addEventListener('abort', () => close(signal.reason), { once: true });
  }

  await using sourceHttp = createHttp(settings.source.url, { timeoutMs: settings.source.timeoutMs, connections: 4 });
  await using targetHttp = createHttp(settings.target.url, {
    timeoutMs: settings.target.timeoutMs,
    connections: concurrency,
  });
  const source = openSource(
    job.source,
    createSend({
      name: 'source',
      http: sourceHttp,
      credentials,
      authorization: (secret) => job.source.authorization(secret.source),
      guard,
      maxBytes: MAX_PAGE_BYTES,
    }),
  );
  const write = openTarget({
    job: job.target,
    send: createSend({
      name: 'target',
      http: targetHttp,
      credentials,
      authorization: (secret) => `Bearer ${secret.target.token}`,
      guard,
      maxBytes: MAX_ANSWER_BYTES,
    }),
    regionId: settings.target.regionId,
    runId,
    id: job.id,
    fence: {
      token: lock.fencingToken,
      scope: settings.lockKey,
      refused: () => whyFenced(lock, session),
    },
  });
  return await sync({
    pages: pagesFor(request, source, report, problems),
    schema: job.record,
    id: job.id,
    write,
    concurrency,
    closing,
    log,
    report,
    problems,
  });
}

function pagesFor(request: Tick | Backfill, source: Source, report: Report, problems: Problem[]): AsyncIterable<Page> {
  if (request.kind === 'tick') return source.pages({}, null);
  const { since, until, ids } = request;
  return ids ? recordsById(source, ids, report, problems) : source.pages({ since, until }, null);
}

/** Reads one record after the other while the ones before are written; one that the source does not know is missing. */
async function* recordsById(source: Source, ids: string[], report: Report, problems: Problem[]): AsyncGenerator<Page> {
  for (const id of new Set(ids)) {
    const record = await source.one(id);
    if (record !== undefined) {
      yield { records: [record], cursor: id };
    } else {
      report.missing++;
      problems.push({ id, kind: 'missing', reason: 'the source knows no record of this id' });
    }
  }
}

/** The target has seen a higher token than ours: either a later holder's, or one from before etcd's revisions went back. */
async function whyFenced(lock: Lock, session: Session): Promise<Error> {
  if (!(await lock.isOwner(session.budget()))) {
    return new SupersededError('the target has seen the token of a later run: the lock was lost and taken over');
  }
  return new FenceAheadError(
    `the target has seen a fencing token higher than ${lock.fencingToken}, although the lock is ours: etcd's revisions ` +
      'went back, as after a restore from a snapshot. Restore it with "etcdutl snapshot restore --bump-revision … ' +
      '--mark-compacted", or let the target forget the highest token of this scope',
  );
}
