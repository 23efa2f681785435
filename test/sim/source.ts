import { EPOCH_MS } from './process.ts';
import type { Answer, Request } from './request.ts';
import { type Surroundings, weatherOn } from './weather.ts';

/** A version of a record at the source. */
export interface Version {
  id: string;
  name: string;
  updatedAt: string;
  limit: { context: number; output: number };
}

/** A model of the shipped job's source: a list by cursor, and single records. */
export interface ModelSource {
  answer(request: Request): Answer;
  /** A new version of the record, or none any more. */
  change(id: string, kind: 'change' | 'spoil' | 'delete', shownAfterMs: number): void;
  /** What the source has at last, valid or not. */
  newest(): ReadonlyMap<string, Version>;
}

/** Where a list goes on: behind this record, in the list's order. */
type Cursor = [string, string];

export function createModelSource(
  world: Surroundings & { blamed(id: string, by: string): void },
  random: () => number,
): ModelSource {
  const { history, timeline } = world;
  const { order, pageSize, repeats, shuffles } = history.source;
  /** All versions of each record, oldest first. */
  const versions = new Map<string, { version: Version; shownAtMs: number; deleted: boolean }[]>();
  let made = 0;
  /** A replica that lags for longer hides a change for good, and nobody can know it. */
  const overlapMs = Number(history.env.WATERMARK_OVERLAP_SECONDS ?? 60) * 1000;

  function make(id: string, atMs: number, invalid: boolean): Version {
    const number = ++made;
    const updatedAt = new Date(EPOCH_MS + atMs).toISOString();
    return { id, name: invalid ? '' : `${id} ${number}`, updatedAt, limit: { context: number, output: number } };
  }

  for (const { id, ageSeconds, invalid } of history.records) {
    const version = make(id, -ageSeconds * 1000, invalid ?? false);
    versions.set(id, [{ version, shownAtMs: Number.NEGATIVE_INFINITY, deleted: false }]);
  }

  /** What a reader sees of a record now. */
  function shown(id: string): Version | undefined {
    const visible = versions.get(id)?.filter(({ shownAtMs }) => shownAtMs <= timeline.nowMs) ?? [];
    const older =
      weatherOn(world, 'source', 'shows-older-versions')?.ids.includes(id) &&
      visible.length > 1 &&
      timeline.nowMs - (Date.parse(visible.at(-1)!.version.updatedAt) - EPOCH_MS) < overlapMs;
    const { version, deleted } = visible.at(older && random() < 0.5 ? -2 : -1) ?? { deleted: true };
    return deleted ? undefined : version;
  }

  const keyOf = ({ id, updatedAt }: Version): Cursor => (order === 'id' ? [id, ''] : [updatedAt, id]);
  const compare = (a: Cursor, b: Cursor) =>
    a[0] === b[0] ? (a[1] < b[1] ? -1 : Number(a[1] > b[1])) : a[0] < b[0] ? -1 : 1;

  function page(query: URLSearchParams) {
    const [since, until] = [query.get('updated_since') ?? '', query.get('updated_until') ?? '9'];
    const text = query.get('cursor');
    const cursor: Cursor | undefined = text ? JSON.parse(Buffer.from(text, 'base64url').toString()) : undefined;
    const all = [...versions.keys()]
      .map(shown)
      .filter((version) => version !== undefined)
      .filter(({ updatedAt }) => updatedAt >= since && updatedAt < until)
      .sort((a, b) => compare(keyOf(a), keyOf(b)));
    const found = cursor ? all.findIndex((version) => compare(keyOf(version), cursor) > 0) : 0;
    const start = found < 0 ? all.length : found;
    const models = all.slice(cursor ? Math.max(0, start - repeats) : start, start + pageSize);
    const last = all[Math.min(start + pageSize, all.length) - 1];
    const more = start + pageSize < all.length && last;
    if (shuffles) models.sort(() => random() - 0.5);
    return { models, nextCursor: more ? Buffer.from(JSON.stringify(keyOf(last))).toString('base64url') : null };
  }

  function answer(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
    const clockMs = EPOCH_MS + timeline.nowMs + (weatherOn(world, 'source', 'wrong-clock')?.aheadMs ?? 0);
    const date = new Date(clockMs).toUTCString();
    return {
      status,
      headers: { date, 'content-type': 'application/json', ...headers },
      body: Buffer.from(JSON.stringify(body)),
    };
  }

  return {
    answer({ path, by }) {
      const throttle = weatherOn(world, 'source', 'throttles');
      if (throttle && random() < throttle.share) {
        const { status, retryAfterSeconds: seconds } = throttle;
        return answer(status, {}, seconds === undefined ? {} : { 'retry-after': String(seconds) });
      }
      const fault = weatherOn(world, 'source', 'fails');
      if (fault && random() < fault.share) return answer(fault.status, {});
      const { pathname, searchParams } = new URL(path, 'http://source');
      if (pathname === '/v1/models') {
        const refusal = searchParams.has('cursor') && weatherOn(world, 'source', 'refuses-cursors');
        return refusal ? answer(refusal.status, {}) : answer(200, page(searchParams));
      }
      const id = decodeURIComponent(pathname.slice('/v1/models/'.length));
      const hidden = weatherOn(world, 'source', 'hides');
      if (hidden?.ids.includes(id)) {
        world.blamed(id, by);
        return answer(hidden.status, {});
      }
      const version = shown(id);
      return version ? answer(200, version) : answer(404, {});
    },
    change(id, kind, shownAfterMs) {
      const known = versions.get(id) ?? [];
      const before = known.at(-1);
      if (kind === 'delete' && !before) return;
      const version = kind === 'delete' ? before!.version : make(id, timeline.nowMs, kind === 'spoil');
      // A record shows its changes in their order.
      const shownAtMs = Math.max(timeline.nowMs + shownAfterMs, before?.shownAtMs ?? 0);
      versions.set(id, [...known, { version, shownAtMs, deleted: kind === 'delete' }]);
    },
    newest: () =>
      new Map(
        [...versions].flatMap(([id, all]) => {
          const { version, deleted } = all.at(-1)!;
          return deleted ? [] : [[id, version]];
        }),
      ),
  };
}
