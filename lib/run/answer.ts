import { bounded } from '../bounded.ts';
import { boundedList, bytesOf, firstWithin } from '../bounded-list.ts';
import type { Shard } from '../shard.ts';
import { MAX_RUNS } from '../state/history.ts';
import type { Result } from './result.ts';
import type { PastRun, Status } from './status.ts';

/** The most bytes of an answer; Lambda takes no more than 6 MB. */
const MAX_ANSWER_BYTES = 1_000_000;

/** The most bytes of each text, tried in turn until the answer fits. */
const TEXT_BYTES = [2000, 500, 100];

/** The answer of a run within Lambda's bound: lists are cut, and texts; an id in `failedIds` is whole or left out. */
export function fittedResult(result: Result): Result {
  const { failedIds, ...rest } = result;
  const short = withTexts(rest, TEXT_BYTES[0]!);
  if (!failedIds) return short;
  const listed = firstWithin(failedIds, MAX_ANSWER_BYTES - bytesOf(short));
  return { ...short, failedIds: listed, failedCount: failedIds.length };
}

/**
 * The status within Lambda's bound: texts are cut, then the list of shards, and the failed records get what is left.
 */
export function fittedStatus(status: Status): Status {
  const { failed, ...rest } = status;
  const smallest = TEXT_BYTES.at(-1)!;
  const fits = (bytes: number) => bytesOf(withTexts(rest, bytes)) < MAX_ANSWER_BYTES / 2;
  const short = withTexts(rest, TEXT_BYTES.find(fits) ?? smallest);
  // The ids of records that they could not write are whole as well.
  for (const [index, { failed: ids }] of status.backfills.entries()) if (ids) short.backfills[index]!.failed = ids;
  if (short.shards) {
    const { shards, ...others } = short;
    const shown = firstWithin(shards, MAX_ANSWER_BYTES * 0.9 - bytesOf(others));
    if (shown.length < shards.length) Object.assign(short, { shards: shown, shardCount: shards.length });
  }
  return { ...short, failed: firstWithin(failed, MAX_ANSWER_BYTES - bytesOf(short)) };
}

/** Collects one status for all shards, and keeps no more of each than an answer can hold. */
export function collectShards() {
  const parts: Status[] = [];
  const failed = boundedList<Status['failed'][number]>(MAX_ANSWER_BYTES);
  const history: PastRun[] = [];
  return {
    /** Failed records and past runs are listed once, for the whole job; how many a shard has failed is in its `failedCount`. */
    add(status: Status, shard: Shard) {
      failed.add(status.failed);
      history.push(...status.history.map((run) => (shard.of === 1 ? run : { ...run, shard })));
      // Of equal times, the order in which they stand is kept.
      history.sort((a, b) => Date.parse(b.startedAt) - Date.parse(a.startedAt)).splice(MAX_RUNS);
      parts.push(withTexts({ ...status, failed: [], history: [] }, TEXT_BYTES[0]!));
    },
    parts,
    failed: failed.list,
    history,
  };
}

/** The same value with each text in it within `maxBytes`. */
const withTexts = <T>(value: T, maxBytes: number): T =>
  JSON.parse(JSON.stringify(value, (_, part) => (typeof part === 'string' ? bounded(part, maxBytes) : part)));
