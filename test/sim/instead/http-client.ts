import { HttpError } from '../../../lib/errors.ts';
import type * as real from '../../../lib/http/client.ts';
import type { Server } from '../history.ts';
import { carry, UNREACHABLE } from '../network.ts';
import { current } from '../process.ts';
import type { Request } from '../request.ts';
import { worldOf } from '../world.ts';

/** Instead of `lib/http/client`: the servers are models, `source` and `target` are their hosts. */
export function createHttp(baseUrl: string, options: { timeoutMs: number; signal: AbortSignal }): real.Http {
  const { timeoutMs, signal } = options;
  const process = current()!;
  const world = worldOf(process);
  const to = new URL(baseUrl).hostname as Server & ('source' | 'target');
  const inFlight = new Set<(reason: Error) => void>();
  let ended: Error | undefined = signal.aborted ? signal.reason : undefined;

  function endAll(reason: Error) {
    ended ??= reason;
    for (const end of inFlight) end(ended);
  }
  const abort = () => endAll(signal.reason);
  signal.addEventListener('abort', abort);

  function send({ method, path, headers, body }: real.HttpRequest): Promise<real.HttpAnswer> {
    if (ended) return Promise.reject(ended);
    return new Promise((resolve, reject) => {
      const request: Request = {
        by: process.name,
        to,
        method,
        path,
        headers,
        body: body?.toString(),
        madeAtMs: world.timeline.nowMs,
      };
      world.requestMade(process, request);
      inFlight.add(end);
      const timer = process.setTimer(() => end(new HttpError('UND_ERR_HEADERS_TIMEOUT', true)), timeoutMs, false);
      const call = carry(
        process,
        to,
        () => world[to].answer(request),
        (answer) => {
          const unreachable = answer === UNREACHABLE;
          if (!unreachable) world.answerReceived(process, request, answer);
          end(unreachable ? new HttpError('ECONNREFUSED: connect ECONNREFUSED', true) : answer);
        },
      );
      function end(outcome: real.HttpAnswer | Error) {
        if (!inFlight.delete(end)) return;
        request.endedAtMs = world.timeline.nowMs;
        world.requestEnded(process, request);
        timer.clear();
        call.hangUp();
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      }
    });
  }

  return {
    send,
    async stream(request) {
      const { status, headers, body } = await send(request);
      const whole = (async function* () {
        yield body;
      })();
      return { status, headers, body: whole, [Symbol.dispose]() {} };
    },
    async [Symbol.asyncDispose]() {
      signal.removeEventListener('abort', abort);
      endAll(new HttpError('the client is closed', false));
    },
  };
}
