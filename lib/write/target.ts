import type { OwnPart } from '../authorized.ts';
import { HttpError, TargetError } from '../errors.ts';
import { createHttp, type HttpAnswer } from '../http/client.ts';
import { excerptOf } from '../http/excerpt.ts';
import { createPace, type Pace } from '../http/pace.ts';
import { type Credentials, createSend } from '../http/send.ts';
import { signing } from '../http/signing.ts';
import { isTransientAnswer } from '../http/throttling.ts';
import { identityFor, type TlsSecret } from '../http/tls.ts';
import type { Agent } from '../http/user-agent.ts';
import type { TargetJob } from '../job-types.ts';
import type { Guard } from '../time/guard.ts';
import { type Bulk, MAX_RESULTS_BYTES, openBulk } from './bulk.ts';
import { type Judged, judging, verdictOfStatus } from './judged.ts';
import { closingOldScopes } from './old-scopes.ts';
import { type Held, type PreparedWrite, type Preparing, preparing, removing } from './prepare.ts';
import { MAX_ANSWER_BYTES } from './push.ts';
import { type RecordRequest, requestMaker } from './write-request.ts';

/** Keeps older holders of the lock out of the target. */
export interface Fence {
  token: string;
  /** Tokens compare within one scope only, because etcd's revisions are cluster-wide. */
  scope: string;
  /** In which the target has to take a write of ours before any other. */
  oldScopes?: string[];
  /** Called once it has. */
  oldScopesClosed?(): void;
  /** Finds out what an answer 412 means. */
  refused(): Promise<Error>;
}

export interface Target<R> extends AsyncDisposable {
  /**
   * Prepares what is to be done with a record; see `preparing`. A write rejects with TargetError for a record that the target
   * refuses or that no attempt got through: that record has failed. Anything else it rejects with (see `createSend` and
   * `Fence.refused`) concerns the run.
   */
  prepare(record: R): PreparedWrite;
  /** Prepares the removal of the record with this id, which the source no longer has. */
  remove(id: string): PreparedWrite;
  /** How records are written that have no request of their own. */
  bulk: Bulk<R> | undefined;
  /** How fast the target wants to be called; a rehearsal calls nobody. */
  pace?: Pace;
}

/** What a record's requests are made of. */
export interface Writing<R> {
  id: (record: R) => string;
  /** Whether a record is a tombstone. */
  deleted?: ((record: R) => boolean) | undefined;
  runId: string;
  /** The job's own settings. */
  settings: unknown;
}

/** The server of a target, and what the requests to it need. */
export interface TargetServer {
  url: string;
  timeoutMs: number;
  credentials: Credentials<TlsSecret & OwnPart>;
  guard: Guard;
  /** The most requests in flight. */
  concurrency: number;
  /** The most requests that start within a second; undefined sets no limit. */
  perSecond: number | undefined;
  /** The User-Agent. */
  agent?: Agent;
  /** Called for each answer that throttles, and for each 503. */
  throttled?: (() => void) | undefined;
}

/**
 * Opens a job's target. Disposing of it ends its connections.
 * @param held what the target held when the pass began; without it every record is written
 */
export function openTarget<R>(
  job: TargetJob<R>,
  writing: Writing<R>,
  fence: Fence,
  server: TargetServer,
  held?: Held,
): Target<R> {
  const { id, deleted, runId, settings } = writing;
  const { url, timeoutMs, credentials, guard, concurrency, perSecond, agent, throttled } = server;
  const pace = createPace({ concurrency, perSecond });
  const identity = identityFor('target', url, credentials.current());
  const maxBytes = job.writeMany ? MAX_RESULTS_BYTES : MAX_ANSWER_BYTES;
  const looksAtAnswers = job.push || job.check || job.writeMany?.results;
  const http = createHttp(url, {
    ...{ timeoutMs, maxBytes, signal: guard.signal, identity },
    // Nothing in the answer to a single request is needed, unless the job looks at it.
    keepBytes: looksAtAnswers ? maxBytes : 0,
  });
  const signer = signing(job, { name: 'target', baseUrl: url, timeoutMs, guard, identity, throttled }, settings);
  const send = createSend<Judged, TlsSecret & OwnPart>({
    name: 'target',
    http: judging(http, job, maxBytes),
    credentials,
    signer,
    guard,
    pace,
    throttled,
  });
  const making = { runId, fence, agent, headers: job.headers };

  /** @returns an answer that means written, or that the scope has seen a higher token */
  async function attempt(request: RecordRequest, removes = false): Promise<{ answer: HttpAnswer; fenced: boolean }> {
    let answer: Judged;
    try {
      answer = await send(request);
    } catch (cause) {
      if (cause instanceof HttpError) throw new TargetError(cause.message, { cause, refused: !cause.transient });
      throw cause;
    }
    const { status } = answer;
    const verdict = answer.verdict ?? verdictOfStatus(status, removes);
    if (verdict === 'written' || verdict === 'fenced') return { answer, fenced: verdict === 'fenced' };
    const reason = excerptOf(answer, credentials.current(), request.record);
    const said = answer.verdict ? ` (the check of the job says: ${verdict})` : '';
    throw new TargetError(`the target answered ${status}${reason}${said}`, {
      ...{ status, refused: !isTransientAnswer(answer) },
    });
  }

  const closeOldScopes = closingOldScopes<RecordRequest>(fence.oldScopes ?? [], {
    write: attempt,
    closed: () => fence.oldScopesClosed?.(),
  });

  async function call(request: RecordRequest, removes = false): Promise<HttpAnswer> {
    await closeOldScopes(request);
    const { answer, fenced } = await attempt(request, removes);
    if (fenced) throw await fence.refused();
    return answer;
  }

  const context = { settings, fencingToken: fence.token, fencingScope: fence.scope };
  const bulk =
    job.writeMany &&
    openBulk<R>(job.writeMany, {
      ...{ context, call, secret: credentials.current },
      requestFor: requestMaker<R[]>({ ...making, id: () => 'batch' }),
    });
  const ways: Preparing<R> = {
    ...{ job, id, deleted, context, call, bulk, held, signal: guard.signal },
    requestFor: requestMaker({ ...making, id }),
    removalFor: requestMaker<{ id: string }>({ ...making, id: ({ id }) => id }),
  };
  return {
    prepare: preparing(ways),
    remove: (id) => removing(ways, id),
    bulk,
    pace,
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}
