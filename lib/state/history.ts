import * as v from 'valibot';
import { bounded } from '../bounded.ts';
import { utcInstant } from '../instant.ts';
import type { Put } from '../lock/mutex.ts';
import { reportSchema } from '../report.ts';
import { count, error, revision } from './schemas.ts';
import { putValue } from './values.ts';
import type { Wanted } from './wanted.ts';

/** One of the last runs that held the lock. */
const historyEntry = v.object({
  runId: v.string(),
  kind: v.picklist(['tick', 'backfill']),
  status: v.picklist(['completed', 'partial', 'failed']),
  startedAt: utcInstant,
  endedAt: utcInstant,
  fencingToken: revision,
  report: reportSchema,
  /** Why it is partial; of a failed run the name of its error. */
  reason: v.optional(v.string()),
  message: v.optional(v.string()),
  error: v.optional(error),
  scheduledTime: v.optional(utcInstant),
  /** How many ticks found the lock held from when the run before it had taken it until this one took it; absent for none. */
  skipsBefore: v.optional(count),
  backfillId: v.optional(v.string()),
  startedBy: v.optional(v.string()),
  host: v.optional(v.string()),
  removalsWithheld: v.optional(count),
});
export type HistoryEntry = v.InferOutput<typeof historyEntry>;

/** The last runs, newest first, and how many ticks had found the lock held by the time the newest one took it. */
export const history = v.object({ runs: v.array(historyEntry), skips: count });

type History = v.InferOutput<typeof history>;

/** The most runs that are kept, and the most bytes of all together as JSON. */
export const MAX_RUNS = 50;
const MAX_BYTES = 64_000;

/** The most bytes of a message. */
const MAX_MESSAGE_BYTES = 300;

export const historyKey = (prefix: string) => `${prefix}history`;

/**
 * The operation that puts a run in front of the last ones, and drops the oldest of them where they are too many.
 * @param before the state under which the run took the lock
 */
export function putHistory(prefix: string, before: { history?: History; wanted?: Wanted }, run: HistoryEntry): Put {
  const skips = before.wanted?.count ?? 0;
  // The key that counts them may have been deleted by hand.
  const skipsBefore = Math.max(0, skips - (before.history?.skips ?? 0));
  const { message, error } = run;
  const entry: HistoryEntry = {
    ...run,
    ...(message !== undefined && { message: bounded(message, MAX_MESSAGE_BYTES) }),
    ...(error && { error: { ...error, message: bounded(error.message, MAX_MESSAGE_BYTES) } }),
    ...(skipsBefore > 0 && { skipsBefore }),
  };
  const kept: History = { runs: newest([entry, ...(before.history?.runs ?? [])]), skips };
  return putValue(historyKey(prefix), kept);
}

/** The first runs that are within both bounds. */
function newest(runs: readonly HistoryEntry[]): HistoryEntry[] {
  // For what stands around them.
  let left = MAX_BYTES - 100;
  const kept: HistoryEntry[] = [];
  for (const run of runs.slice(0, MAX_RUNS)) {
    left -= Buffer.byteLength(JSON.stringify(run)) + 1;
    if (left < 0) break;
    kept.push(run);
  }
  return kept;
}
