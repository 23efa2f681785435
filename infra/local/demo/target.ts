import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { answer, bodyOf, type Served, serve } from '../serve.ts';

/** A write that the target accepted. */
export interface Write {
  id: string;
  scope: string;
  token: string;
  idempotencyKey: string;
}

export interface DemoTarget extends Served {
  /** The stored models, by id. */
  models: Map<string, unknown>;
  /** Every accepted write, in the order of acceptance. */
  writes: Write[];
  /** The statuses of refused requests. */
  refusals: number[];
  inFlight: number;
  peakInFlight: number;
  /** Can change at any time. */
  token: string;
  /** How long an answer takes. Can change at any time. */
  latencyMs: number;
  /** Returns the status to refuse a body with, or undefined to accept it. Can change at any time. */
  refuse: ((body: unknown) => number | undefined) | undefined;
  /** The `Retry-After` of every refusal. Can change at any time. */
  retryAfterSeconds: number | undefined;
  /** Resolves when the next request arrives. */
  nextRequest(): Promise<void>;
}

/**
 * The demo target API: `PUT /v1/regions/{region}/models/{id}` with a Bearer token. It refuses a fencing token lower than the
 * highest in its scope, as every target must for the lock to be safe, and stores what it accepts.
 */
export async function startTarget(options: {
  token: string;
  regions: string[];
  latencyMs?: number;
  /** Replaces the look at the token. */
  admits?: ((request: IncomingMessage) => boolean) | undefined;
}): Promise<DemoTarget> {
  const { token, regions, latencyMs = 0, admits = hasToken } = options;
  const fences = new Map<string, bigint>();
  let arrival = Promise.withResolvers<void>();
  const state = {
    models: new Map<string, unknown>(),
    writes: [] as Write[],
    refusals: [] as number[],
    inFlight: 0,
    peakInFlight: 0,
    token,
    latencyMs,
    refuse: undefined as DemoTarget['refuse'],
    retryAfterSeconds: undefined as DemoTarget['retryAfterSeconds'],
    nextRequest: () => arrival.promise,
  };

  function hasToken({ headers }: IncomingMessage) {
    return headers.authorization === `Bearer ${state.token}`;
  }

  /** Checks a write as a target has to. Returns the first fault, or the write and its model. */
  const check = (request: IncomingMessage, body: string) => {
    const { headers, method, url } = request;
    const fault = (status: number, message: string) => ({ status, message });
    if (!admits(request)) return fault(401, 'wrong token');
    const [, region, id] = /^\/v1\/regions\/([^/?]+)\/models\/([^/?]+)(?:\?|$)/.exec(url ?? '') ?? [];
    if (!region || !id) return fault(404, 'no such path');
    if (!regions.includes(decodeURIComponent(region))) return fault(404, 'no such region');
    if (method !== 'PUT') return fault(405, 'this API only knows PUT');
    const header = (name: string) => String(headers[name] ?? '');
    const [scope, fence] = [header('x-fencing-scope'), header('x-fencing-token')];
    if (!scope || !/^\d+$/.test(fence)) return fault(400, 'X-Fencing-Scope or X-Fencing-Token is missing or malformed');
    if (BigInt(fence) < (fences.get(scope) ?? 0n)) return fault(412, 'a higher fencing token was seen');
    let model: unknown;
    try {
      model = JSON.parse(body);
    } catch {
      return fault(400, 'the body is not JSON');
    }
    const status = state.refuse?.(model);
    if (status !== undefined) return fault(status, 'refused for a test');
    const write = { id: decodeURIComponent(id), scope, token: fence, idempotencyKey: header('idempotency-key') };
    return { write, model };
  };

  const served = await serve(async (request, response) => {
    state.inFlight++;
    state.peakInFlight = Math.max(state.peakInFlight, state.inFlight);
    let here = true;
    const leave = () => {
      if (here) state.inFlight--;
      here = false;
    };
    // A request ends when its client gives up, or just before the answer, after which the client may send the next one.
    response.once('close', leave);
    arrival.resolve();
    arrival = Promise.withResolvers();

    const body = await bodyOf(request);
    if (state.latencyMs > 0) await sleep(state.latencyMs);
    // No await from here to the answer: comparing the fencing token and storing have to be one step.
    const checked = check(request, body);
    leave();
    if ('status' in checked) {
      const { status, message } = checked;
      state.refusals.push(status);
      const { retryAfterSeconds: seconds } = state;
      return answer(response, status, { message }, seconds === undefined ? {} : { 'retry-after': String(seconds) });
    }
    const { write, model } = checked;
    fences.set(write.scope, BigInt(write.token));
    state.models.set(write.id, model);
    state.writes.push(write);
    answer(response, 200, {});
  });
  return Object.assign(state, served);
}
