import { EPOCH_MS } from './process.ts';
import type { Answer, Request } from './request.ts';
import { dateOf, spending, throttled } from './throttled.ts';
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

/** A clock that is further ahead than this is wrong for everybody who sees it. */
const FAR_AHEAD_MS = 1e12;

export function createModelSource(
  world: Surroundings & { unreadable(id: string, by: string): void; denied: Set<string>; clocksGoAhead: boolean },
  random: () => number,
): ModelSource {
  const { history, timeline } = world;
  const { order, pageSize, repeats, shuffles } = history.source;
  /** All versions of each record, oldest first. */
  const versions = new Map<string, { version: Version; madeAtMs: number; shownAtMs: number; deleted: boolean }[]>();
  let made = 0;
  /** A replica that lags for longer hides a change for good, and nobody can know it. */
  const overlapMs = Number(history.env.WATERMARK_OVERLAP_SECONDS ?? 60) * 1000;

  function make(id: string, atMs: number, invalid: boolean): Version {
    const number = ++made;
    const { aheadMs = 0 } = weatherOn(world, 'source', 'wrong-clock') ?? {};
    // A clock that is an hour ahead, or behind, dates records in a way that nobody can see through; nor can a run whose own
    // clock is ahead.
    const wrongMs = aheadMs > FAR_AHEAD_MS && !world.clocksGoAhead ? aheadMs : 0;
    const updatedAt = new Date(EPOCH_MS + atMs + wrongMs).toISOString();
    return { id, name: invalid ? '' : `${id} ${number}`, updatedAt, limit: { context: number, output: number } };
  }

  for (const { id, ageSeconds, invalid } of history.records) {
    const version = make(id, -ageSeconds * 1000, invalid ?? false);
    const longAgo = Number.NEGATIVE_INFINITY;
    versions.set(id, [{ version, madeAtMs: longAgo, shownAtMs: longAgo, deleted: false }]);
  }

  /** What a reader sees of a record now: its version, and perhaps an older one as well. */
  function shown(id: string): Version[] {
    const visible = versions.get(id)?.filter(({ shownAtMs }) => shownAtMs <= timeline.nowMs) ?? [];
    const weather = weatherOn(world, 'source', 'shows-older-versions');
    const lags =
      weather?.ids.includes(id) && visible.length > 1 && timeline.nowMs - visible.at(-1)!.madeAtMs < overlapMs;
    const older = lags && random() < 0.5;
    const [newest, before] = [visible.slice(-1), visible.slice(-2, -1)];
    const seen = older ? (weather?.both ? [...newest, ...before] : before) : newest;
    return seen.flatMap(({ version, deleted }) => (deleted ? [] : [version]));
  }

  const keyOf = ({ id, updatedAt }: Version): Cursor => (order === 'id' ? [id, ''] : [updatedAt, id]);
  const compare = (a: Cursor, b: Cursor) =>
    a[0] === b[0] ? (a[1] < b[1] ? -1 : Number(a[1] > b[1])) : a[0] < b[0] ? -1 : 1;

  function page(query: URLSearchParams) {
    const [since, until] = [query.get('updated_since') ?? '', query.get('updated_until') ?? '9'];
    const text = query.get('cursor');
    const cursor: Cursor | undefined = text ? JSON.parse(Buffer.from(text, 'base64url').toString()) : undefined;
    const all = [...versions.keys()]
      .flatMap(shown)
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

  function answer(status: number, body: unknown): Answer {
    return {
      status,
      headers: { date: dateOf(world, 'source'), 'content-type': 'application/json' },
      body: Buffer.from(JSON.stringify(body)),
    };
  }

  /** What arrives where a gateway sends something of its own, or the connection breaks off. */
  function garbled(whole: Answer): Answer {
    const garble = weatherOn(world, 'source', 'garbles');
    if (!garble || random() >= garble.share) return whole;
    const { body, headers } = whole;
    if (garble.as === 'cut') return { ...whole, body: body.subarray(0, Math.floor(random() * body.length)) };
    const text = garble.as === 'html' ? '<!doctype html><p>One moment, please.' : '';
    return { ...whole, headers: { ...headers, 'content-type': 'text/html' }, body: Buffer.from(text) };
  }

  return {
    answer({ path, by }) {
      const throttle = weatherOn(world, 'source', 'throttles');
      if (throttle && random() < throttle.share) return throttled(world, 'source', throttle);
      const fault = weatherOn(world, 'source', 'fails');
      if (fault && random() < fault.share) return answer(fault.status, {});
      const { pathname, searchParams } = new URL(path, 'http://source');
      if (pathname === '/v1/models') {
        const refusal = searchParams.has('cursor') && weatherOn(world, 'source', 'refuses-cursors');
        if (refusal) return answer(refusal.status, {});
        const whole = answer(200, page(searchParams));
        const sent = garbled(whole);
        return sent === whole ? spending(world, 'source', whole, random) : sent;
      }
      const id = decodeURIComponent(pathname.slice('/v1/models/'.length));
      const hidden = weatherOn(world, 'source', 'hides');
      if (hidden?.ids.includes(id)) {
        world.unreadable(id, by);
        if (hidden.status === 404 || hidden.status === 410) world.denied.add(id);
        return answer(hidden.status, {});
      }
      const version = shown(id).at(-1);
      const whole = version ? answer(200, version) : answer(404, {});
      const sent = version ? garbled(whole) : whole;
      if (sent !== whole) world.unreadable(id, by);
      return sent;
    },
    change(id, kind, shownAfterMs) {
      const known = versions.get(id) ?? [];
      const before = known.at(-1);
      if (kind === 'delete' && !before) return;
      const version = kind === 'delete' ? before!.version : make(id, timeline.nowMs, kind === 'spoil');
      // A record shows its changes in their order.
      const shownAtMs = Math.max(timeline.nowMs + shownAfterMs, before?.shownAtMs ?? 0);
      versions.set(id, [...known, { version, madeAtMs: timeline.nowMs, shownAtMs, deleted: kind === 'delete' }]);
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
