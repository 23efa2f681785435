import { type AuthServer, type Exchange, type Exchanged, NOBODY } from '../auth.ts';
import type { Guard } from '../time/guard.ts';
import { createHttp, type HttpRequest } from './client.ts';
import { createSend } from './send.ts';
import type { Identity } from './tls.ts';
import { type Agent, userAgent } from './user-agent.ts';

/** A token's answer is short. */
const MAX_BYTES = 1024 * 1024;

/** What an exchange needs of the run that makes it. */
export interface Exchanging {
  name: AuthServer['name'];
  timeoutMs: number;
  guard: Guard;
  /** As towards the server that the token is for: both are usually of the same company. */
  identity: Identity | undefined;
  /** The User-Agent. */
  agent?: Agent | undefined;
  throttled?: (() => void) | undefined;
}

/**
 * Sends one request to another server than the source and the target, with attempts and backoff as to any server.
 * @returns the last answer, whatever its status
 * @throws what `Send` throws
 */
export async function exchange(url: string, request: Exchange, by: Exchanging): Promise<Exchanged> {
  const { origin, pathname, search } = new URL(url);
  const { name, timeoutMs, guard, identity, agent, throttled } = by;
  await using http = createHttp(origin, { timeoutMs, maxBytes: MAX_BYTES, signal: guard.signal, identity });
  const send = createSend({
    name: `token server of the ${name}`,
    http: {
      async send(asked: HttpRequest) {
        const answer = await http.send(asked);
        // There is no other secret to try; who asks decides what it means.
        return answer.status === 401 ? { ...answer, verdict: 'refused' } : answer;
      },
    },
    credentials: { current: () => undefined, renew: async () => undefined },
    signer: () => NOBODY,
    patient: true,
    ...{ guard, throttled },
  });
  // A library that makes the request may name itself.
  const headers = { ...request.headers, 'user-agent': userAgent(agent) };
  return await send({ ...request, headers, path: pathname + search });
}
