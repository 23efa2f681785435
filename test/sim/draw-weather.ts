import type { Draw } from './draw.ts';
import { FOREVER, type Server, type Weather } from './history.ts';

/** What `lib` does not cope with yet: drawn and checked only when it is asked for. */
export const UNMENDED = {
  'short-cursors': 'a source that no longer takes a cursor: a list in another order than that of time loses records',
  'short-reserve': 'a deadline reserve below 5 s, while etcd does not answer: the run ends after its deadline',
  'last-page': 'the deadline while the last page is written: the pass begins anew',
} as const;

const SERVERS: Server[] = ['etcd', 'source', 'target'];
const STATUSES = [400, 403, 404, 409, 413, 422];

/** Draws what is wrong with the servers and the ways to them, and when. */
export function drawWeather(
  draw: Draw,
  world: { lastsMs: number; ids: string[]; names: string[]; unmended: ReadonlySet<string> },
): Weather[] {
  const { lastsMs, ids, names, unmended } = world;
  const share = () => draw.one([0.1, 0.3, 1]);
  const on = () => draw.one(SERVERS);
  const who = () => (draw.chance(0.5) && names.length > 0 ? { who: draw.one(names) } : {});
  const retryAfter = () => (draw.chance(0.6) ? { retryAfterSeconds: draw.one([0, 1, 3, 10, 60]) } : {});

  const kinds: (() => DistributiveOmit<Weather, 'fromMs' | 'forMs'>)[] = [
    () => ({ on: on(), kind: 'unreachable', ...who() }),
    () => ({ on: on(), kind: 'loses-requests', share: share(), ...who() }),
    () => ({ on: on(), kind: 'loses-answers', share: share(), ...who() }),
    () => ({ on: on(), kind: 'slow', byMs: draw.one([300, 2500, 8000]), ...who() }),
    () => ({ on: 'etcd', kind: 'no-leader' }),
    () => ({ on: 'etcd', kind: 'restore', backMs: draw.from(0, 60_000), bumpRevision: draw.chance(0.7) }),
    () => ({
      on: draw.one(['source', 'target', 'target']),
      kind: 'throttles',
      status: draw.one([429, 503]),
      share: share(),
      ...retryAfter(),
    }),
    () => ({
      on: draw.one(['source', 'target']),
      kind: 'fails',
      status: draw.one([500, 502, 503, 504]),
      share: share(),
    }),
    () => ({ on: 'target', kind: 'refuses', ids: draw.some(ids, 0.2), status: draw.one(STATUSES) }),
    () => ({ on: 'source', kind: 'hides', ids: draw.some(ids, 0.4), status: draw.one([403, 404, 410, 500]) }),
    () => ({ on: 'target', kind: 'refuses-everybody', status: draw.one([401, 308, ...STATUSES]) }),
    () => ({ on: 'source', kind: 'shows-older-versions', ids: draw.some(ids, 0.5) }),
    () => ({ on: 'source', kind: 'wrong-clock', aheadMs: draw.one([-3_600_000, 3_600_000, 2e12]) }),
  ];
  const short: typeof kinds = [
    () => ({ on: 'source', kind: 'refuses-cursors', status: draw.one([400, 404, 410, 422]) }),
  ];
  if (unmended.has('short-cursors')) kinds.push(...short);
  const usual = draw.some(kinds, 0.25);
  if (usual.length === 0) return [];
  const restores = { drawn: 0 };
  return Array.from({ length: draw.from(0, 5) }, (): Weather => {
    const forMs = draw.one([draw.from(100, 2000), draw.from(1000, 15_000), draw.from(5000, 60_000)]);
    const drawn = draw.one(usual)();
    // A record that the target never takes ends in a list.
    const forever = drawn.kind === 'refuses' && draw.chance(0.4);
    return { fromMs: draw.from(0, lastsMs), forMs: forever ? FOREVER : forMs, ...drawn } as Weather;
  }).filter(({ kind }) => kind !== 'restore' || restores.drawn++ === 0);
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
