import type { OwnPart } from '../authorized.ts';
import { HttpError, TargetError } from '../errors.ts';
import { createHttp, type HttpAnswer } from '../http/client.ts';
import { excerptOf } from '../http/excerpt.ts';
import { createPace, type Pace } from '../http/pace.ts';
import { withQuery } from '../http/request.ts';
import { type Credentials, createSend } from '../http/send.ts';
import { signing } from '../http/signing.ts';
import { isTransientAnswer } from '../http/throttling.ts';
import { identityFor, type TlsSecret } from '../http/tls.ts';
import type { Agent } from '../http/user-agent.ts';
import type { TargetJob } from '../job-types.ts';
import type { Guard } from '../time/guard.ts';
import { type Judged, judging, verdictOfStatus } from './judged.ts';
import { closingOldScopes } from './old-scopes.ts';
import { MAX_ANSWER_BYTES, pushRecord } from './push.ts';
import { type RecordRequest, requestMaker, writeOf } from './write-request.ts';

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

/** Writes a prepared record; called at most once. Resolves once the target has answered 2xx and the answer is read. */
export type Write = () => Promise<unknown>;

/** A write that is ready, and a short hash of what it writes, where that is known before. */
export interface PreparedWrite {
  write: Write;
  content: string | undefined;
}

export interface Target<R> extends AsyncDisposable {
  /**
   * Prepares the write of a record.
   * @throws nothing. The write rejects with TargetError for a record that the target refuses or that no attempt got through:
   * that record has failed. Anything else it rejects with (see `createSend` and `Fence.refused`) concerns the run.
   */
  prepare(record: R): PreparedWrite;
  /** How fast the target wants to be called; a rehearsal calls nobody. */
  pace?: Pace;
}

/** What a record's requests are made of. */
export interface Writing<R> {
  id: (record: R) => string;
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

/** Opens a job's target. Disposing of it ends its connections. */
export function openTarget<R>(job: TargetJob<R>, writing: Writing<R>, fence: Fence, server: TargetServer): Target<R> {
  const { id, runId, settings } = writing;
  const { url, timeoutMs, credentials, guard, concurrency, perSecond, agent, throttled } = server;
  const pace = createPace({ concurrency, perSecond });
  const identity = identityFor('target', url, credentials.current());
  const http = createHttp(url, {
    ...{ timeoutMs, maxBytes: MAX_ANSWER_BYTES, signal: guard.signal, identity },
    // Nothing in the answer to a single request is needed, unless the job looks at it.
    keepBytes: job.push || job.check ? MAX_ANSWER_BYTES : 0,
  });
  const signer = signing(job, { name: 'target', baseUrl: url, timeoutMs, guard, identity, throttled }, settings);
  const send = createSend<Judged, TlsSecret & OwnPart>({
    name: 'target',
    http: judging(http, job),
    credentials,
    signer,
    guard,
    pace,
    throttled,
  });
  const requestFor = requestMaker({ runId, id, fence, agent, headers: job.headers });
  const close = () => http[Symbol.asyncDispose]();

  /** @returns an answer that means written, or that the scope has seen a higher token */
  async function attempt(request: RecordRequest): Promise<{ answer: HttpAnswer; fenced: boolean }> {
    let answer: Judged;
    try {
      answer = await send(request);
    } catch (cause) {
      if (cause instanceof HttpError) throw new TargetError(cause.message, { cause, refused: !cause.transient });
      throw cause;
    }
    const { status } = answer;
    const verdict = answer.verdict ?? verdictOfStatus(status);
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

  async function call(request: RecordRequest): Promise<HttpAnswer> {
    await closeOldScopes(request);
    const { answer, fenced } = await attempt(request);
    if (fenced) throw await fence.refused();
    return answer;
  }

  const context = { settings, fencingToken: fence.token, fencingScope: fence.scope };
  if (job.push) {
    const pushOne: typeof job.push = (given, to) => job.push!(given, to);
    const to = { ...context, signal: guard.signal };
    const prepare = (record: R) => ({
      write: () =>
        pushRecord(pushOne, record, to, (request) => {
          const place = `${request.method} ${withQuery(request.path, request.query)}\n`;
          return call(requestFor(record, () => request, place).request);
        }),
      content: undefined,
    });
    return { prepare, pace, [Symbol.asyncDispose]: close };
  }
  return {
    prepare(record) {
      try {
        const { request, content } = requestFor(record, () => writeOf(job, record, context));
        return { write: () => call(request), content };
      } catch (error) {
        return { write: () => Promise.reject(error), content: undefined };
      }
    },
    pace,
    [Symbol.asyncDispose]: close,
  };
}
