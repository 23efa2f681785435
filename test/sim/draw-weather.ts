import type { Draw } from './draw.ts';
import { FOREVER, type Pause, type Server, type Weather } from './history.ts';

const SERVERS: Server[] = ['etcd', 'source', 'target'];
const STATUSES = [400, 403, 404, 409, 413, 422];
const QUOTAS = ['quota-seconds', 'quota-epoch', 'quota-epoch-ms', 'quota-list'] as const;
const PAUSES = ['retry-after', 'retry-date', ...QUOTAS] as const;
/** From 2026 on. */
const TO_2099_MS = 73 * 365 * 86_400_000;

/** Draws what is wrong with the servers and the ways to them, and when. */
export function drawWeather(draw: Draw, world: { lastsMs: number; ids: string[]; names: string[] }): Weather[] {
  const { lastsMs, ids, names } = world;
  const share = () => draw.one([0.1, 0.3, 1]);
  const on = () => draw.one(SERVERS);
  const who = () => (draw.chance(0.5) && names.length > 0 ? { who: draw.one(names) } : {});
  const pause = (forms: readonly Pause['as'][] = PAUSES) => ({
    pause: { seconds: draw.one([0, 1, 3, 10, 60]), as: draw.one(forms) },
  });

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
      ...(draw.chance(0.6) && pause()),
    }),
    // Only the pause that it asks for tells that it is no refusal.
    () => ({ on: draw.one(['source', 'target']), kind: 'throttles', status: 403, share: share(), ...pause() }),
    () => ({ on: draw.one(['source', 'target']), kind: 'spends', share: share(), ...pause(QUOTAS) }),
    () => ({ on: 'source', kind: 'garbles', as: draw.one(['empty', 'html', 'cut']), share: share() }),
    () => ({
      on: draw.one(['source', 'target']),
      kind: 'fails',
      status: draw.one([500, 502, 503, 504]),
      share: share(),
    }),
    // Twenty that stand first in the list are a target that refuses everybody.
    () => ({ on: 'target', kind: 'refuses', ids: draw.some(ids, 0.2).slice(0, 19), status: draw.one(STATUSES) }),
    () => ({ on: 'source', kind: 'hides', ids: draw.some(ids, 0.4), status: draw.one([301, 403, 404, 410, 451, 500]) }),
    () => ({ on: 'target', kind: 'refuses-everybody', status: draw.one([401, 308, ...STATUSES]) }),
    () => ({ on: 'source', kind: 'shows-older-versions', ids: draw.some(ids, 0.5) }),
    () => ({ on: 'source', kind: 'shows-older-versions', ids, both: true }),
    () => ({ on: 'source', kind: 'wrong-clock', aheadMs: draw.one([-3_600_000, 3_600_000, TO_2099_MS, TO_2099_MS]) }),
    () => ({ on: 'target', kind: 'wrong-clock', aheadMs: draw.one([-3_600_000, 3_600_000, TO_2099_MS]) }),
    () => ({ on: 'source', kind: 'refuses-cursors', status: draw.one([400, 404, 410, 422]) }),
  ];
  const usual = draw.some(kinds, 0.25);
  if (usual.length === 0) return [];
  // Lasts for a whole run, so that the target takes nothing of it.
  const refusesAll: Weather[] = draw.chance(0.1)
    ? [{ on: 'target', kind: 'refuses-everybody', status: draw.one(STATUSES), fromMs: 0, forMs: lastsMs / 2 }]
    : [];
  const restores = { drawn: 0 };
  const drawn = Array.from({ length: draw.from(0, 5) }, (): Weather => {
    const forMs = draw.one([draw.from(100, 2000), draw.from(1000, 15_000), draw.from(5000, 60_000)]);
    const weather = draw.one(usual)();
    // A record that the target never takes ends in a list.
    const forever = weather.kind === 'refuses' && draw.chance(0.4);
    return { fromMs: draw.from(0, lastsMs), forMs: forever ? FOREVER : forMs, ...weather } as Weather;
  });
  return [...refusesAll, ...drawn.filter(({ kind }) => kind !== 'restore' || restores.drawn++ === 0)];
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
