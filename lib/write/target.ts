import { HttpError, TargetError } from '../errors.ts';
import { createHttp, type HttpAnswer, type HttpRequest } from '../http/client.ts';
import { createPace, type Pace } from '../http/pace.ts';
import { withQuery } from '../http/request.ts';
import { type Credentials, createSend } from '../http/send.ts';
import { type OwnPart, signing } from '../http/signing.ts';
import { isTransientAnswer } from '../http/throttling.ts';
import { identityFor, type TlsSecret } from '../http/tls.ts';
import type { Request, TargetJob, WriteContext } from '../job-types.ts';
import type { Guard } from '../time/guard.ts';
import { closingOldScopes } from './old-scopes.ts';
import { MAX_ANSWER_BYTES, pushRecord } from './push.ts';
import { requestMaker } from './write-request.ts';

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
  /** Named to the target. */
  jobName?: string;
  /** Called for each answer that throttles, and for each 503. */
  throttled?: (() => void) | undefined;
}

/** Opens a job's target. Disposing of it ends its connections. */
export function openTarget<R>(job: TargetJob<R>, writing: Writing<R>, fence: Fence, server: TargetServer): Target<R> {
  const { id, runId, settings } = writing;
  const { url, timeoutMs, credentials, guard, concurrency, perSecond, jobName, throttled } = server;
  const pace = createPace({ concurrency, perSecond });
  const identity = identityFor('target', url, credentials.current());
  const http = createHttp(url, {
    ...{ timeoutMs, maxBytes: MAX_ANSWER_BYTES, signal: guard.signal, identity },
    // Nothing in the answer to a single request is needed.
    keepBytes: job.push ? MAX_ANSWER_BYTES : 0,
  });
  const signer = signing(job, { name: 'target', baseUrl: url }, settings);
  const send = createSend({ name: 'target', http, credentials, signer, guard, pace, throttled });
  const requestFor = requestMaker({ runId, id, fence, jobName, headers: job.headers });
  const close = () => http[Symbol.asyncDispose]();

  /** @returns an answer 2xx, or 412 where the scope has seen a higher token */
  async function attempt(request: HttpRequest): Promise<HttpAnswer> {
    let answer: HttpAnswer;
    try {
      answer = await send(request);
    } catch (cause) {
      if (cause instanceof HttpError) throw new TargetError(cause.message, { cause, refused: !cause.transient });
      throw cause;
    }
    const { status } = answer;
    if (status !== 412 && (status < 200 || status > 299)) {
      throw new TargetError(`the target answered ${status}`, { status, refused: !isTransientAnswer(answer) });
    }
    return answer;
  }

  const closeOldScopes = closingOldScopes(fence.oldScopes ?? [], {
    write: attempt,
    closed: () => fence.oldScopesClosed?.(),
  });

  async function call(request: HttpRequest): Promise<HttpAnswer> {
    await closeOldScopes(request);
    const answer = await attempt(request);
    if (answer.status === 412) throw await fence.refused();
    return answer;
  }

  const context = { settings, fencingToken: fence.token, fencingScope: fence.scope };
  if (job.push) {
    const pushOne: typeof job.push = (given, to) => job.push!(given, to);
    const to = { ...context, signal: guard.signal };
    const prepare = (record: R) => ({
      write: () =>
        pushRecord(pushOne, record, to, (request) =>
          call(
            requestFor(record, () => request, `${request.method} ${withQuery(request.path, request.query)}\n`).request,
          ),
        ),
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

/** Makes the requests of a dry run and sends none of them. A push needs answers, so it is not even begun. */
export function openRehearsal<R>(job: TargetJob<R>, { id, runId, settings }: Writing<R>): Target<R> {
  const requestFor = requestMaker({ runId, id, fence: { token: '', scope: '' } });
  const context = { settings, fencingToken: '', fencingScope: '' };
  return {
    prepare: (record) => ({
      async write() {
        if (!job.push) requestFor(record, () => writeOf(job, record, context));
      },
      content: undefined,
    }),
    async [Symbol.asyncDispose]() {},
  };
}

function writeOf<R>(job: TargetJob<R>, record: R, context: WriteContext<unknown>): Request {
  if (!job.write) throw new TypeError('the job has neither target.write nor target.push');
  const request = job.write(record, context);
  if (request.method === undefined) throw new TypeError('target.write of the job gave a request without a method');
  return request;
}
