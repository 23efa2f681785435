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
import { MAX_RESULTS_BYTES } from './bulk.ts';
import type { Held } from './held.ts';
import { type Judged, judging, verdictOfStatus } from './judged.ts';
import { closingOldScopes } from './old-scopes.ts';
import { type Writes, type Writing, writesOf } from './prepare.ts';
import { MAX_ANSWER_BYTES } from './push.ts';
import type { RecordRequest } from './write-request.ts';

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

export interface Target<R> extends AsyncDisposable, Writes<R> {
  /** How fast the target wants to be called; a rehearsal calls nobody. */
  pace?: Pace;
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
  const signer = signing(
    job,
    { name: 'target', baseUrl: url, timeoutMs, guard, identity, agent, throttled },
    writing.settings,
  );
  const send = createSend<Judged, TlsSecret & OwnPart>({
    name: 'target',
    http: judging(http, job, maxBytes),
    credentials,
    signer,
    guard,
    pace,
    throttled,
  });

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

  const { signal } = guard;
  return {
    ...writesOf(job, writing, { ...{ fence, agent, call, held, signal }, secret: credentials.current }),
    pace,
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}
