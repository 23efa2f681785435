import { firstWithin } from '../bounded-list.ts';
import type { Budget, Etcd } from '../lock/etcd.ts';
import { ask } from '../lock/query.ts';
import { addReports, newReport, type Report } from '../report.ts';
import { type BackfillProgress, type Detached, MAX_FAILED_IDS } from '../state/backfill-schemas.ts';
import { backfillOf, latestBackfills } from '../state/backfills.ts';
import { currentWindow, windowsOf } from '../state/detached.ts';
import type { Places } from '../state/places.ts';
import type { Pass } from '../state/schemas.ts';

/** What is known of a backfill that goes on by itself, all shards together. */
export interface BackfillStatus {
  id: string;
  status: 'running' | 'completed' | 'failed' | 'cancelled';
  since?: string;
  until?: string;
  /** How many records it was asked for, where it was asked for single ones. */
  ids?: number;
  /** How many windows its range is cut into. */
  windows: number;
  /** How many of them are through, in the shard that is least far. */
  window: number;
  shards: number;
  shardsDone: number;
  /** How much of it is done, from 0 to 1: the mean over the shards. */
  done: number;
  /** Of all windows and shards, with the settled pages of the windows that are under way. */
  counts: Report;
  /** Records read in a second by the last invocations, summed over the shards. */
  rate?: number;
  startedAt: string;
  updatedAt: string;
  endedAt?: string;
  startedBy?: string;
  /** How many invocations in a row have settled no page. */
  attempts: number;
  /** When it goes on, where a server or an error makes it wait. */
  notBefore?: string;
  lastError?: { name: string; code: string; message: string };
  /** How many records it could not write, and the first of their ids. */
  failedCount?: number;
  failed?: string[];
}

/** How many backfills are told of. */
const MAX_BACKFILLS = 20;

/** How many of those that may run are looked at, and of the latest ones: some may not be detached. */
const MAX_LOOKED_AT = 50;

/** How many reads are under way at a time. */
const READERS = 16;

/** The most bytes of the ids of failed records, for each backfill: an id is whole or left out. */
const MAX_IDS_BYTES = 4000;

type Part = BackfillProgress & { detached: Detached };

/**
 * Reads the detached backfills that run, and those that have ended last, newest first, each with all its shards.
 * @param places those of all shards of the job
 * @throws LockServiceError, CredentialsError, StateError
 */
export async function readBackfills(etcd: Etcd, places: Places[], budget: Budget): Promise<BackfillStatus[]> {
  const listed = await ofEach(places, async (one) => {
    const latest = await ask(etcd, 'list the backfills', latestBackfills(one.statePrefix), budget);
    return latest.map((backfill) => ({ ...backfill, places: one }));
  });
  const latestFirst = listed.flat().sort((a, b) => Number(BigInt(b.revision) - BigInt(a.revision)));
  const known = [...Map.groupBy(latestFirst, (one) => one.id)];
  const mayRun = known.filter(([, ofShards]) => ofShards.some(({ hasEnded }) => !hasEnded));
  const all: BackfillStatus[] = [];
  // One that runs for days is not to be lost behind many short ones.
  for (const [id, ofShards] of new Set([...mayRun.slice(0, MAX_LOOKED_AT), ...known.slice(0, MAX_LOOKED_AT)])) {
    if (all.length === MAX_BACKFILLS) break;
    const found = await ofEach(ofShards, async ({ places }) => {
      // Each on its own, because one may have half a megabyte.
      const { progress } = (await ask(etcd, 'read the backfill', backfillOf(places.statePrefix, id), budget)) ?? {};
      return progress?.detached ? [{ ...progress, detached: progress.detached }] : [];
    });
    const parts = found.flat();
    if (parts.length > 0) all.push(together(id, parts));
  }
  return all.sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
}

/** Asks about a few at a time: there may be a thousand shards. */
async function ofEach<T, A>(all: T[], ask: (one: T) => Promise<A>): Promise<A[]> {
  const answers: A[] = [];
  for (let first = 0; first < all.length; first += READERS)
    answers.push(...(await Promise.all(all.slice(first, first + READERS).map(ask))));
  return answers;
}

/** What is known of a backfill, from what is known of it in each shard. */
export function together(id: string, parts: Part[]): BackfillStatus {
  const all = parts.map(({ detached }) => detached);
  const [first] = all as [Detached];
  const { since, until, startedBy } = first;
  const running = all.filter(({ status }) => status === 'running');
  const ended = (['failed', 'cancelled', 'completed'] as const).find((one) => all.some(({ status }) => status === one));
  const failedCount = sum(parts, ({ detached, failed }) => detached.failedCount + failed.length);
  const failed = parts.flatMap(({ detached, failed }) => [...detached.failedIds, ...failed.map(({ id }) => id)]);
  // The shard that has changed last tells most about what is in the way.
  const latest = [...all].sort((a, b) => (a.updatedAt < b.updatedAt ? 1 : -1));
  const lastError = latest.find((one) => one.lastError)?.lastError;
  const notBefore = running.every((one) => one.notBefore) ? running.map((one) => one.notBefore!).sort()[0] : undefined;
  const endedAt = all
    .map((one) => one.endedAt ?? '')
    .sort()
    .at(-1);
  return {
    id,
    status: running.length > 0 ? 'running' : ended!,
    ...(since && { since }),
    ...(until && { until }),
    ...(first.idCount !== undefined && { ids: sum(all, ({ idCount = 0 }) => idCount) }),
    windows: windowsOf(first),
    window: Math.min(...all.map(({ window }) => window)),
    shards: parts.length,
    shardsDone: all.filter(({ status }) => status === 'completed').length,
    done: sum(parts, doneOf) / parts.length,
    counts: parts.map(countsOf).reduce(addReports, newReport()),
    ...(running.some(({ rate }) => rate !== undefined) && { rate: sum(running, ({ rate = 0 }) => rate) }),
    startedAt: all.map(({ startedAt }) => startedAt).sort()[0]!,
    updatedAt: latest[0]!.updatedAt,
    ...(running.length === 0 && endedAt && { endedAt }),
    ...(startedBy && { startedBy }),
    attempts: Math.max(...all.map(({ attempts }) => attempts)),
    ...(notBefore && { notBefore }),
    ...(lastError && { lastError }),
    ...(failedCount > 0 && { failedCount, failed: firstWithin(failed.slice(0, MAX_FAILED_IDS), MAX_IDS_BYTES) }),
  };
}

const sum = <T>(parts: readonly T[], count: (part: T) => number) => parts.reduce((all, part) => all + count(part), 0);

const countsOf = ({ pass, detached }: Part): Report =>
  pass ? addReports(detached.counts, pass.counts) : detached.counts;

function doneOf({ pass, detached }: Part): number {
  if (detached.status === 'completed') return 1;
  const under = pass ? doneOfWindow(pass, detached) : 0;
  return (detached.window + under) / windowsOf(detached);
}

/** How much of a window is done, where anything says so: a list of ids has an end, and a list in the order of time tells where it is. */
function doneOfWindow({ counts, listed, startedAt }: Pass, detached: Detached): number {
  if (detached.idCount) return Math.min(0.99, (counts.read + counts.missing) / detached.idCount);
  const { since, until = startedAt } = currentWindow(detached);
  if (!since || !listed?.ordered || !listed.newest) return 0;
  const share = (Date.parse(listed.newest) - Date.parse(since)) / (Date.parse(until) - Date.parse(since));
  return Math.min(0.99, Math.max(0, share));
}
