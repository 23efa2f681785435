import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { answer, bodyOf, type Served, serve } from '../serve.ts';
import { pageOf } from './target-pages.ts';

/** A write or a removal that the target accepted. */
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
  /** Every accepted removal, in the order of acceptance. */
  removals: Write[];
  /** The path and query of every request for a page of the list. */
  reads: string[];
  /** The statuses of refused requests. */
  refusals: number[];
  inFlight: number;
  peakInFlight: number;
  /** Can change at any time. */
  token: string;
  /** How long the answer to a write or a removal takes. Can change at any time. */
  latencyMs: number;
  /** Returns the status to refuse a body with, or undefined to accept it. Can change at any time. */
  refuse: ((body: unknown) => number | undefined) | undefined;
  /** The same for the id of a removal. */
  refuseRemoval: ((id: string) => number | undefined) | undefined;
  /** The same for the path and query of a page of the list. */
  refuseRead: ((path: string) => number | undefined) | undefined;
  /** The `Retry-After` of every refusal. Can change at any time. */
  retryAfterSeconds: number | undefined;
  /** Resolves when the next write or removal arrives. */
  nextRequest(): Promise<void>;
}

/**
 * The demo target API, with a Bearer token: `PUT` and `DELETE /v1/regions/{region}/models/{id}`, and
 * `GET /v1/regions/{region}/models` in pages. It refuses a fencing token lower than the highest in its scope, as every target must
 * for the lock to be safe, and stores what it accepts.
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
    removals: [] as Write[],
    reads: [] as string[],
    refusals: [] as number[],
    inFlight: 0,
    peakInFlight: 0,
    token,
    latencyMs,
    refuse: undefined as DemoTarget['refuse'],
    refuseRemoval: undefined as DemoTarget['refuseRemoval'],
    refuseRead: undefined as DemoTarget['refuseRead'],
    retryAfterSeconds: undefined as DemoTarget['retryAfterSeconds'],
    nextRequest: () => arrival.promise,
  };

  function hasToken({ headers }: IncomingMessage) {
    return headers.authorization === `Bearer ${state.token}`;
  }

  /** Checks what every request needs, and that there is the region. */
  const accessFault = (request: IncomingMessage, region: string | undefined): Fault | undefined => {
    if (!admits(request)) return fault(401, 'wrong token');
    if (!region) return fault(404, 'no such path');
    return regions.includes(decodeURIComponent(region)) ? undefined : fault(404, 'no such region');
  };

  /** Checks a write or a removal as a target has to. Returns the first fault, or what to do. */
  const check = (request: IncomingMessage, body: string) => {
    const { headers, method, url } = request;
    const [, region, encoded] = /^\/v1\/regions\/([^/?]+)\/models\/([^/?]+)(?:\?|$)/.exec(url ?? '') ?? [];
    const wrong = accessFault(request, region);
    if (wrong) return wrong;
    if (method !== 'PUT' && method !== 'DELETE') return fault(405, 'this API only knows PUT and DELETE of a model');
    const write = fencedWrite(headers, decodeURIComponent(encoded!));
    if (!write) return fault(400, 'X-Fencing-Scope or X-Fencing-Token is missing or malformed');
    if (BigInt(write.token) < (fences.get(write.scope) ?? 0n)) return fault(412, 'a higher fencing token was seen');
    const removes = method === 'DELETE';
    const model = removes ? null : parsed(body);
    if (model === undefined) return fault(400, 'the body is not JSON');
    const status = removes ? state.refuseRemoval?.(write.id) : state.refuse?.(model);
    return status === undefined ? { write, model, removes } : fault(status, 'refused for a test');
  };

  const refuse = (response: ServerResponse, { status, message }: Fault) => {
    state.refusals.push(status);
    const { retryAfterSeconds: seconds } = state;
    answer(response, status, { message }, seconds === undefined ? {} : { 'retry-after': String(seconds) });
  };

  const served = await serve(async (request, response) => {
    if (request.method === 'GET') {
      const page = listed(request, state, accessFault);
      return 'status' in page ? refuse(response, page) : answer(response, 200, page);
    }
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
    if ('status' in checked) return refuse(response, checked);
    const { write, model, removes } = checked;
    // A late write must not bring back what is removed, nor what was not there.
    fences.set(write.scope, BigInt(write.token));
    if (removes) {
      if (!state.models.delete(write.id)) return refuse(response, fault(404, 'no such model'));
      state.removals.push(write);
    } else {
      state.models.set(write.id, model);
      state.writes.push(write);
    }
    answer(response, 200, {});
  });
  return Object.assign(state, served);
}

interface Fault {
  status: number;
  message: string;
}

/** Undefined where the headers do not fence it. */
function fencedWrite(headers: IncomingMessage['headers'], id: string): Write | undefined {
  const header = (name: string) => String(headers[name] ?? '');
  const [scope, token] = [header('x-fencing-scope'), header('x-fencing-token')];
  if (!scope || !/^\d+$/.test(token)) return undefined;
  return { id, scope, token, idempotencyKey: header('idempotency-key') };
}

const fault = (status: number, message: string): Fault => ({ status, message });

/** Answers a request for a page of the list. */
function listed(
  request: IncomingMessage,
  state: Pick<DemoTarget, 'models' | 'reads' | 'refuseRead'>,
  accessFault: (request: IncomingMessage, region: string | undefined) => Fault | undefined,
): Fault | NonNullable<ReturnType<typeof pageOf>> {
  const { pathname, search, searchParams } = new URL(request.url ?? '/', 'http://target');
  state.reads.push(pathname + search);
  const wrong = accessFault(request, /^\/v1\/regions\/([^/]+)\/models$/.exec(pathname)?.[1]);
  if (wrong) return wrong;
  const status = state.refuseRead?.(pathname + search);
  if (status !== undefined) return fault(status, 'refused for a test');
  return pageOf(state.models, searchParams) ?? fault(400, 'malformed query');
}

/** Undefined for what is not JSON. */
function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
