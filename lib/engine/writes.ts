import { TargetError } from '../errors.ts';
import type { RecordOutcomes } from '../record-outcomes.ts';
import type { Report } from '../report.ts';
import type { Accepted, Invalid } from './accept.ts';
import type { Conclusions } from './conclusions.ts';
import type { RunEnding } from './ending.ts';
import type { Ledger, OpenPage } from './ledger.ts';
import { openTurns } from './turns.ts';
import { type WriteMany, writeBatch } from './write-batch.ts';

/** What a lane takes: a record that needs something, or a batch of them. */
export type Item<R> = Accepted<R> | Accepted<R>[] | Invalid;

/**
 * Makes the function that writes what a lane takes from a page. Whatever comes of it is counted or ends the run.
 * @param options.signal aborts when nothing new may start
 * @param options.writeMany writes the records of a batch
 */
export function writingFrom<R>(options: {
  signal: AbortSignal;
  ending: RunEnding;
  ledger: Ledger;
  report: Report;
  outcomes: Pick<RecordOutcomes<R>, 'invalid'>;
  conclusions: Conclusions<R>;
  writeMany: WriteMany<Accepted<R>> | undefined;
}): (item: Item<R>, page: OpenPage) => Promise<void> {
  const { signal, ending, ledger, report, outcomes, conclusions, writeMany } = options;
  const inTurn = openTurns();
  let writing = 0;

  async function leaveOut({ id, faults, raw }: Invalid, page: OpenPage) {
    try {
      await outcomes.invalid(id, faults, raw);
    } finally {
      ledger.settle(page, 'invalid');
    }
  }

  async function writeOne(accepted: Accepted<R>, page: OpenPage) {
    writing++;
    try {
      signal.throwIfAborted();
      noteInFlight();
      const answer = await accepted.write!();
      conclusions.done(accepted, page, answer !== false);
    } catch (error) {
      if (error instanceof TargetError) return conclusions.failed(accepted, page, error);
      ledger.leave(1);
      ending.end(error);
    } finally {
      writing--;
    }
  }

  async function writeAll(batch: Accepted<R>[], page: OpenPage) {
    let left = batch.length;
    try {
      await writeBatch(batch, {
        async write(records, answered) {
          writing++;
          try {
            noteInFlight();
            return await writeMany!(records, answered);
          } finally {
            writing--;
          }
        },
        settled(accepted, error) {
          left--;
          if (error) conclusions.failed(accepted, page, error);
          else conclusions.done(accepted, page);
        },
        halves: conclusions.failedTogether,
        signal,
      });
    } catch (error) {
      ledger.leave(left);
      ending.end(error);
    }
  }

  function noteInFlight() {
    if (writing > report.peakInFlight) report.peakInFlight = writing;
  }

  return (item, page) => {
    if (Array.isArray(item))
      return inTurn(
        item.map(({ id }) => id),
        () => writeAll(item, page),
      );
    return 'faults' in item ? leaveOut(item, page) : inTurn([item.id], () => writeOne(item, page));
  };
}
