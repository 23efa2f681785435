import type { Accepted } from '../engine/accept.ts';
import type { Versions } from '../engine/conclusions.ts';
import { msOf } from '../instant.ts';
import type { PassUnderWay } from '../state/pass-under-way.ts';
import { idHash, MAX_RECENT, type Recent, type RecentVersion } from '../state/recent.ts';
import { contentOfRecord } from '../write/write-request.ts';

/** What a run knows of versions, and what the next pass should know. */
export interface KnownVersions<R> extends Versions<R> {
  /**
   * What is at the target and changed at `sinceMs` or later, as far as this run and those before it know; undefined where that is
   * too much to keep.
   */
  recent(sinceMs: number): Map<string, RecentVersion> | undefined;
}

/** The ids whose newest version is remembered are at least this many, the last ones read. */
const IDS_REMEMBERED = 30_000;

/**
 * Decides which records need no write. A record is left out when a newer version of it was read before (a source that lags, or
 * a record that moved in the list), or when the last pass has written the same version with the same content. What was read
 * longer ago than `IDS_REMEMBERED` other ids, or by an earlier run of the same pass, is not known.
 * @param options.rewrite writes again what the last pass has written
 * @param options.pass where the pass has got to: it says from when the next one will read
 */
export function openVersions<R>(options: {
  before: Recent;
  rewrite: boolean;
  pass: Pick<PassUnderWay, 'current'>;
  overlapSeconds: number;
}): KnownVersions<R> {
  const { before, rewrite, pass, overlapSeconds } = options;
  const newest = newestById(IDS_REMEMBERED);
  let newestMs = Number.NEGATIVE_INFINITY;
  let clock = { text: undefined as string | undefined, ms: Date.parse(pass.current().startedAt) };
  let kept = new Map<string, RecentVersion>();
  /** What the last pass has left and this run has not written over. A source that lags may give an older version again. */
  const left = new Map(before.versions);
  /** Versions up to this time were dropped, because there were too many. */
  let droppedUpToMs = Number.NEGATIVE_INFINITY;

  /** From when the next pass will read, as far as that is known by now; see `watermarkAfter`. */
  function horizonMs(): number {
    const { sourceClock } = pass.current();
    if (sourceClock !== clock.text) clock = { text: sourceClock, ms: Math.min(clock.ms, msOf(sourceClock)) };
    return Math.min(newestMs, clock.ms) - overlapSeconds * 1000;
  }

  function keep({ id, updatedAtMs, content, record }: Accepted<R>) {
    // The target no longer has what was kept of this id, even where the new version is not kept.
    kept.delete(id);
    if (!isPast(updatedAtMs)) return;
    newestMs = Math.max(newestMs, updatedAtMs);
    // Of what is at most as new, some were dropped, so the next pass would not be told of this one.
    if (updatedAtMs <= droppedUpToMs || updatedAtMs < horizonMs()) return;
    kept.set(id, { updatedAtMs, content: content() ?? contentOfRecord(record) });
    if (kept.size <= 2 * MAX_RECENT) return;
    dropBefore(horizonMs());
    if (kept.size <= MAX_RECENT) return;
    for (const { updatedAtMs } of kept.values()) droppedUpToMs = Math.max(droppedUpToMs, updatedAtMs);
    kept.clear();
  }

  function dropBefore(sinceMs: number) {
    kept = new Map([...kept].filter(([, { updatedAtMs }]) => updatedAtMs >= sinceMs));
  }

  function isAtTarget(accepted: Accepted<R>): boolean {
    if (accepted.updatedAtMs > before.newestMs) return false;
    const known = left.get(idHash(accepted.id));
    if (!known || known.updatedAtMs < accepted.updatedAtMs) return false;
    if (known.updatedAtMs > accepted.updatedAtMs) return true;
    if (rewrite || known.content !== (accepted.content() ?? contentOfRecord(accepted.record))) return false;
    keep(accepted);
    return true;
  }

  return {
    isKnown(accepted) {
      if (!isPast(accepted.updatedAtMs)) return false;
      if (newest.isOlder(accepted.id, accepted.updatedAtMs)) return true;
      return left.size > 0 && isAtTarget(accepted);
    },
    written(accepted) {
      if (left.size > 0) left.delete(idHash(accepted.id));
      keep(accepted);
    },
    failed(id) {
      // Even if the same version was written before: it is read again by id, and only a write takes it off that list.
      kept.delete(id);
      left.delete(idHash(id));
    },
    recent(sinceMs) {
      dropBefore(sinceMs);
      if (droppedUpToMs >= sinceMs) return undefined;
      // A full pass does not believe that it is all there, so what it could not write is not known.
      const stillThere = rewrite ? [] : [...left].filter(([, { updatedAtMs }]) => updatedAtMs >= sinceMs);
      const recent = new Map(stillThere);
      for (const [id, version] of kept) recent.set(idHash(id), version);
      return recent.size > MAX_RECENT ? undefined : recent;
    },
  };
}

/** A time in the future is a mistake, and its correction must not be taken for an older version. NaN is no time. */
const isPast = (updatedAtMs: number) => updatedAtMs <= Date.now();

/** Remembers when the newest version of an id changed, for at least the last `atLeast` ids, in two generations. */
function newestById(atLeast: number) {
  let young = new Map<string, number>();
  let old = new Map<string, number>();
  return {
    /** Whether a newer version is remembered; otherwise remembers this one. */
    isOlder(id: string, updatedAtMs: number): boolean {
      if ((young.get(id) ?? old.get(id) ?? Number.NEGATIVE_INFINITY) > updatedAtMs) return true;
      young.set(id, updatedAtMs);
      if (young.size >= atLeast) [young, old] = [new Map(), young];
      return false;
    },
  };
}
