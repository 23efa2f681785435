import { answer, bodyOf, type Served, serve } from '../../infra/local/serve.ts';

export interface Prices extends Served {
  /** What the source lists. */
  listed: { id: number; price: number }[];
  /** What the target holds, by id. */
  stored: Map<string, unknown>;
}

/** The source and the target of the tests' job `prices`: `GET /prices` lists all, `PUT /prices/{id}` stores one. */
export async function startPrices(key: string): Promise<Prices> {
  const state = { listed: [{ id: 1, price: 3 }], stored: new Map<string, unknown>() };
  const served = await serve(async (request, response) => {
    if (request.headers.authorization !== `Bearer ${key}`) return answer(response, 401, { message: 'wrong key' });
    const id = /^\/prices\/(\d+)$/.exec(request.url ?? '')?.[1];
    if (request.method === 'PUT' && id) state.stored.set(id, JSON.parse(await bodyOf(request)));
    answer(response, 200, { prices: state.listed, next: null });
  });
  return Object.assign(state, served);
}
