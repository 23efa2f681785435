import type { IncomingMessage, ServerResponse } from 'node:http';
import { answer, bodyOf, type Served, serve } from '../../infra/local/serve.ts';
import { cursorPages } from '../../lib/job.ts';
import type { Answer, Outcome, TargetJob, WriteMany } from '../../lib/job-types.ts';

/** A record by its id, and whatever else it says. */
export interface Model {
  id: string;
}

/** A write or a removal as it arrived, whether it was accepted or not. */
export interface Arrived {
  method: string;
  ids: string[];
  models: Model[];
  headers: IncomingMessage['headers'];
  bytes: number;
}

export interface BulkTarget extends Served {
  models: Map<string, unknown>;
  arrivals: Arrived[];
  /** The fencing tokens of what was accepted, in that order. */
  tokens: bigint[];
  /** The ids of accepted removals. */
  removals: string[];
  peakInFlight: number;
  /** May send an answer of its own, to a write or a removal that is not stored then. */
  before: ((arrived: Arrived, response: ServerResponse) => Promise<void> | void) | undefined;
  /** Says what becomes of a record of a bulk write; undefined: it is written. */
  outcomeOf: ((model: Model) => Outcome | undefined) | undefined;
  /** Whether the answer to what is stored breaks off. */
  cutsAnswer: (() => boolean) | undefined;
  /** The status for a page of the list. */
  refuseRead: (() => number | undefined) | undefined;
}

/**
 * A target that takes many records with `POST /bulk`, one with `PUT` and `DELETE /models/{id}`, and lists them. It compares fencing
 * tokens, and does not do again what it has done for the same idempotency key.
 */
export async function serveBulkTarget(): Promise<BulkTarget> {
  const fences = new Map<string, bigint>();
  const done = new Map<string, unknown>();
  let inFlight = 0;
  const state: Omit<BulkTarget, keyof Served> = {
    ...{ models: new Map<string, unknown>(), arrivals: [], tokens: [], removals: [], peakInFlight: 0 },
    ...{ before: undefined, outcomeOf: undefined, cutsAnswer: undefined, refuseRead: undefined },
  };

  function store({ method, models, ids }: Arrived): unknown {
    if (method === 'DELETE') {
      if (!state.models.delete(ids[0]!)) return undefined;
      state.removals.push(ids[0]!);
      return {};
    }
    const items = models.map((model) => {
      const outcome = state.outcomeOf?.(model) ?? 'written';
      const { id, ...body } = model;
      if (outcome === 'written') state.models.set(id, body);
      return outcome;
    });
    return { items };
  }

  const served = await serve(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://target');
    if (request.method === 'GET') return list(state, searchParams.get('cursor') ?? '', response);
    state.peakInFlight = Math.max(state.peakInFlight, ++inFlight);
    let here = true;
    const leave = () => {
      if (here) inFlight--;
      here = false;
    };
    response.once('close', leave);
    const arrived = arrivedOf(request, pathname, await bodyOf(request));
    state.arrivals.push(arrived);
    // Counted until just before the answer, after which the client may send the next one.
    const { writeHead } = response;
    response.writeHead = ((...head: Parameters<typeof writeHead>) => {
      leave();
      return writeHead.apply(response, head);
    }) as typeof writeHead;
    await state.before?.(arrived, response);
    if (response.destroyed || response.headersSent) return;
    const { headers } = arrived;
    const [scope, token] = [`${headers['x-fencing-scope']}`, BigInt(`${headers['x-fencing-token']}`)];
    if (token < (fences.get(scope) ?? 0n)) return answer(response, 412, {});
    fences.set(scope, token);
    const key = `${headers['idempotency-key']}`;
    const body = done.get(key) ?? store(arrived);
    if (body === undefined) return answer(response, 404, {});
    state.tokens.push(token);
    const isDone = !Object(body).items?.some((item: Outcome) => item !== 'written');
    if (isDone) done.set(key, body);
    if (!state.cutsAnswer?.()) return answer(response, isDone ? 200 : 207, body);
    response.writeHead(200, { 'content-length': 1000 }).write('stored, but', () => response.destroy());
  });
  return Object.assign(state, served);
}

function arrivedOf({ method = '', headers }: IncomingMessage, path: string, text: string): Arrived {
  const body = text === '' ? undefined : JSON.parse(text);
  const id = decodeURIComponent(/^\/models\/(.+)$/.exec(path)?.[1] ?? '');
  const models: Model[] = id === '' ? body.models : body === undefined ? [] : [{ id, ...body }];
  const ids = id === '' ? models.map((model) => model.id) : [id];
  return { method, ids, models, headers, bytes: Buffer.byteLength(text) };
}

/** The records of a page of the list. */
const PAGE = 10;

/** A page; its cursor is its last id, so that what is removed meanwhile moves nothing. */
function list(
  { models, refuseRead }: Pick<BulkTarget, 'models' | 'refuseRead'>,
  after: string,
  response: ServerResponse,
) {
  const status = refuseRead?.();
  if (status !== undefined) return answer(response, status, {});
  const ids = [...models.keys()].filter((id) => id > after).sort();
  const items = ids.slice(0, PAGE).map((id) => ({ id, ...Object(models.get(id)) }));
  answer(response, 200, { models: items, next: ids.length > PAGE ? ids[PAGE - 1] : null });
}

const put = ({ id, ...body }: Model) => ({ method: 'PUT', path: `/models/${encodeURIComponent(id)}`, body }) as const;

/** How a job writes many of these records at once; the answer says what became of each. */
export const manyAtOnce = (bounds: { max: number; maxBytes?: number | undefined }): WriteMany<Model> => ({
  max: bounds.max,
  ...(bounds.maxBytes !== undefined && { maxBytes: bounds.maxBytes }),
  request: (models) => ({ method: 'POST', path: '/bulk', body: { models } }),
  results: (answered: Answer) => Object(answered.json()).items,
});

/** How a job writes one of these records at a time. */
export const oneAtATime: TargetJob<Model>['write'] = put;

/** The same with a push. */
export const pushed: TargetJob<Model>['push'] = async (model, { send }) => {
  await send(put(model));
};

/** How a job removes these records. */
export const remove: TargetJob<Model>['remove'] = (id) => ({
  method: 'DELETE',
  path: `/models/${encodeURIComponent(id)}`,
});

/** How a job lists what the target holds. @param whole that `existing` gives the record, as a job without `write` needs it */
export const listing = (whole: boolean): Pick<TargetJob<Model>, 'list' | 'existing'> => ({
  list: cursorPages({ path: '/models', records: 'models', next: 'next' }),
  existing(raw) {
    const { id, ...body } = raw as Model;
    return { id, body: whole ? raw : body };
  },
});
