import { setMaxListeners } from 'node:events';
import { type Ending, type SyncOptions, sync } from '../engine/engine.ts';
import { createHttp } from '../http/client.ts';
import { createPace } from '../http/pace.ts';
import { createSend, type Guard } from '../http/send.ts';
import { MAX_PAGE_BYTES, openSource } from '../read/source.ts';
import { type Problem, problemNotes } from '../report.ts';
import type { Job } from '../run/run.ts';
import type { Settings } from '../settings/config.ts';
import type { Credentials, Secret } from '../settings/secrets.ts';
import type { Deadline } from '../time/deadline.ts';
import { msOf } from '../time/instant.ts';
import { type Fence, openTarget } from '../write/target.ts';
import { pagesOf, type Reading } from './reading.ts';

/** What a pass is copied with, and where it is told how things go. */
interface Copying<R> extends Omit<Reading, 'note'>, PassedOn<R> {
  settings: Settings;
  runId: string;
  credentials: Credentials;
  deadline: Deadline;
  problems: Problem[];
  /** Called before each attempt of each request. @throws LockLostError once the lease can have expired */
  check(): void;
  /** Fires when the lock is lost; a rehearsal has none to lose. */
  lost?: AbortSignal;
  /** Fires when nothing more should start, because what is done cannot be saved. */
  saveFailed?: AbortSignal;
  /** What keeps older holders out of the target; without one this is a rehearsal, and nothing is written. */
  fence?: Fence;
  /** Told of each answer 429 or 503; a rehearsal does not ask. */
  throttled?: () => void;
}

/** What only `sync` needs. */
type PassedOn<R> = Pick<SyncOptions<R>, 'report' | 'recordWritten' | 'recordInvalid' | 'recordFailed' | 'pageSettled'>;

/** An answer to a write is read to its end, but nothing in it is needed. */
const MAX_ANSWER_BYTES = 1024 * 1024;

/** Requests are made as for a write, but none is sent. A push would want answers, so it is not even begun. */
const REHEARSAL = {
  send: async () => ({ status: 204, headers: {}, body: new Uint8Array() }),
  fence: { token: '', scope: '', refused: async () => new Error('nothing was sent') },
};

/**
 * Reads what the pass asks for, after the records of `failedBefore`, and writes it.
 * @throws the errors of `sync`; nothing is in flight any more by then.
 */
export async function copy<R>(job: Job<R>, copying: Copying<R>, failedBefore: string[]): Promise<Ending> {
  const { settings, runId, request, credentials, deadline, throttled, lost, saveFailed, fence } = copying;
  const note = problemNotes(copying.problems, copying.log);
  const concurrency = (request.kind === 'backfill' && request.concurrency) || settings.concurrency;
  const closing = new AbortController();
  // A controller of its own, because a signal made by AbortSignal.any() looks at all of them whenever it is asked.
  const stopping = new AbortController();
  const guard: Guard = {
    check: copying.check,
    closing: closing.signal,
    closesInMs: deadline.closesInMs,
    signal: stopping.signal,
  };
  // Each write in flight listens to it.
  setMaxListeners(0, guard.signal, guard.closing);
  whenAborted([deadline.cut, lost], stopping);
  whenAborted([deadline.closing, lost, saveFailed], closing);

  await using sourceHttp = createHttp(settings.source.url, {
    timeoutMs: settings.source.timeoutMs,
    maxBytes: MAX_PAGE_BYTES,
    signal: guard.signal,
  });
  await using targetHttp = createHttp(settings.target.url, {
    timeoutMs: settings.target.timeoutMs,
    maxBytes: MAX_ANSWER_BYTES,
    signal: guard.signal,
  });
  const pace = createPace({ concurrency, perSecond: settings.maxWritesPerSecond });
  const shared = { credentials, guard, throttled };
  const atSource = {
    ...shared,
    name: 'source',
    authorization: (secret: Secret) => job.source.authorization(secret.source),
  };
  const source = openSource(job.source, {
    baseUrl: settings.source.url,
    send: createSend({ ...atSource, http: sourceHttp }),
    stream: createSend({ ...atSource, http: { send: sourceHttp.stream } }),
  });
  const sending = fence
    ? {
        fence,
        send: createSend({
          ...shared,
          name: 'target',
          http: targetHttp,
          pace,
          authorization: (secret) => `Bearer ${secret.target.token}`,
        }),
      }
    : REHEARSAL;
  const writing = { job: job.target, regionId: settings.target.regionId, runId, id: job.id, signal: guard.signal };
  const prepare = !fence && 'push' in job.target ? () => async () => {} : openTarget({ ...writing, ...sending });
  const pages = pagesOf(job, source, failedBefore, { ...copying, note });
  const { updatedAt } = job;
  return await sync({
    ...copying,
    pages,
    schema: job.record,
    id: job.id,
    prepare,
    concurrency,
    pace,
    closing,
    note,
    updatedAtMs: updatedAt && ((record: R) => msOf(updatedAt(record))),
    failuresBeforeStop: settings.failuresBeforeStop,
  });
}

/** Aborts `controller` with the first of the signals. */
function whenAborted(signals: (AbortSignal | undefined)[], controller: AbortController) {
  for (const signal of signals) {
    if (signal?.aborted) controller.abort(signal.reason);
    signal?.addEventListener('abort', () => controller.abort(signal.reason), { once: true });
  }
}
