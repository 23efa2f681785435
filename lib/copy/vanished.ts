import * as v from 'valibot';
import type { Ending } from '../engine/ending.ts';
import { sync } from '../engine/engine.ts';
import { SourceError, TargetRefusedError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Source } from '../read/source.ts';
import type { RecordOutcomes } from '../record-outcomes.ts';
import { newReport, type Report } from '../report.ts';
import type { PassUnderWay } from '../state/pass-under-way.ts';
import { idHash } from '../state/recent.ts';
import { MAX_WAITING } from '../state/waiting.ts';
import type { Target } from '../write/target.ts';
import type { Comparison } from './comparison.ts';
import { isTooMany, type RemovalGuard } from './removal-guard.ts';

/** Ids are looked for at the source so many at a time. */
const AT_A_TIME = 20;

/** After so many ids in a row about which the source says nothing, it is not asked for the rest. */
const UNANSWERED_BEFORE_STOP = 100;

/** What is known of the removals at the end of a pass. */
export interface Vanished {
  /**
   * What the guard has withheld, which is all of them; or that it has let them through; or that it has, and none is due before
   * the next full pass; or that nobody knows, because not all was read or removed.
   */
  removals: 'unknown' | 'let through' | 'not due' | { withheld: number; of: number };
  /** Those that are removed if the next full pass does not find them either, by `idHash`. */
  waiting: string[];
}

/** Of a pass that does not find out what has vanished. */
export const UNKNOWN: Vanished = { removals: 'unknown', waiting: [] };

/** How the removal ended. */
export interface Removal extends Vanished {
  ending: Ending;
}

/**
 * Removes what the target holds and the source has not brought, once the source was read whole. Where a source has lost its data,
 * or answers with those of another, that is more than the guard lets through: nothing is removed then. With `readOne`, each
 * record is looked for at the source first, because a page may have been left out.
 * @throws the errors of `sync`
 */
export async function removeVanished<R>(options: {
  comparison: Comparison;
  guard: RemovalGuard;
  /** The list of the source has no record at all, of any shard. */
  sourceIsEmpty: boolean;
  readOne: Source['one'] | undefined;
  target: Pick<Target<R>, 'remove' | 'pace'>;
  concurrency: number;
  closing: AbortController;
  failuresBeforeStop: number;
  report: Report;
  pass: Pick<PassUnderWay, 'removed'>;
  outcomes: Pick<RecordOutcomes<R>, 'done' | 'notRemoved'>;
  log: Log;
}): Promise<Removal> {
  const { comparison, guard, readOne, target, concurrency, closing, failuresBeforeStop, pass, outcomes, log } = options;
  const { held } = comparison;
  const [vanished, of] = [held.vanished(), held.size()];
  const before = readOne ? undefined : guard.waiting;
  const { waiting, due } = before ? vanishedTwice(held, before) : { waiting: new Set<string>(), due: vanished };
  const removal = (removals: Vanished['removals']) => ({ removals, waiting: [...waiting].slice(0, MAX_WAITING) });
  if (vanished === 0) return { ending: 'complete', ...removal('let through') };
  if (isTooMany(vanished, of, guard, options.sourceIsEmpty)) {
    log.warn(
      `${vanished} of the ${of} records at the target have vanished from the source: they are not removed without an approval`,
      { removalsWithheld: vanished },
    );
    return { ending: 'complete', ...removal({ withheld: vanished, of }) };
  }
  if (vanished > due) tellWaiting(vanished - due, log);
  if (due === 0) return { ending: 'complete', ...removal('not due') };
  const report = newReport();
  let doubtful = 0;
  try {
    const ending = await sync<string>({
      pages: pages(),
      accept: { schema: v.string(), id: (id) => id, prepare: target.remove },
      ...{ concurrency, pace: target.pace, closing, report, failuresBeforeStop },
      outcomes: { done, invalid: () => undefined, failed: outcomes.notRemoved },
      pageSettled() {},
    });
    log.info(`${report.removed} of ${vanished} vanished records ${wereOrWouldBe(guard)} removed`, { doubtful });
    return { ending, ...removal('let through') };
  } catch (error) {
    // Everything else is written, and the next pass that compares tries again.
    if (!(error instanceof SourceError || error instanceof TargetRefusedError)) throw error;
    const why =
      error instanceof SourceError ? 'the target could not be listed once more' : 'the target refuses removals';
    log.error(`${why}: not all that has vanished is removed`, { error });
    return { ending: 'complete', ...removal('unknown') };
  } finally {
    options.report.removed += report.removed;
    options.report.peakInFlight = Math.max(options.report.peakInFlight, report.peakInFlight);
    pass.removed(report.removed);
    guard.removed?.(report.removed);
    if (doubtful > 0) {
      log.warn(`${doubtful} records were not in the list of the source, which may have them: they are not removed`);
    }
  }

  function done(id: string, as: Parameters<typeof outcomes.done>[1]) {
    waiting.delete(idHash(id));
    outcomes.done(id, as);
  }

  async function* pages() {
    const isGone = asking(readOne, outcomes);
    let found = 0;
    // Removals move up what comes after them: a list by offset then leaves some of it out.
    for (let foundBefore = -1; found < due && found > foundBefore; ) {
      foundBefore = found;
      for await (const ids of pagesOfIds()) {
        found += ids.length;
        const gone = await Promise.all(ids.map(isGone));
        doubtful += gone.filter((one) => !one).length;
        yield { records: ids.filter((_, index) => gone[index]), cursor: 'vanished' };
      }
    }
  }

  async function* pagesOfIds() {
    for await (const records of comparison.existing()) {
      const ids = records
        .map(({ id }) => id)
        .filter((id) => held.hasVanished(id) && (!before || before.has(idHash(id))));
      for (let from = 0; from < ids.length; from += AT_A_TIME) {
        const some = [...new Set(ids.slice(from, from + AT_A_TIME))];
        // A target may list a record twice.
        some.forEach(held.seen);
        yield some;
      }
    }
  }
}

/** Asks the source whether it has a record that was not in its list. */
function asking(readOne: Source['one'] | undefined, { notRemoved }: Pick<RecordOutcomes<unknown>, 'notRemoved'>) {
  let unansweredInARow = 0;
  return async (id: string): Promise<boolean> => {
    if (!readOne) return true;
    if (unansweredInARow >= UNANSWERED_BEFORE_STOP) return false;
    try {
      const record = await readOne(id);
      unansweredInARow = 0;
      return record === undefined;
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      unansweredInARow++;
      notRemoved(id, `the source does not say whether it has the record: ${error.message}`);
      return false;
    }
  };
}

/** Those that had vanished before are due; with them, as many as are kept wait until they are removed. */
function vanishedTwice(held: Comparison['held'], before: ReadonlySet<string>): { waiting: Set<string>; due: number } {
  const waiting = new Set<string>();
  let due = 0;
  for (const id of held.vanishedIds()) {
    const isDue = before.has(id);
    if (isDue) due++;
    if (isDue || waiting.size < MAX_WAITING) waiting.add(id);
  }
  return { waiting, due };
}

function tellWaiting(records: number, log: Log): void {
  log.info(`${records} records have vanished: they are removed if the next full pass does not find them either`);
  if (records > MAX_WAITING) log.warn(`only ${MAX_WAITING} of them are kept until then: the others wait longer`);
}

const wereOrWouldBe = ({ rehearses }: RemovalGuard) => (rehearses ? 'would be' : 'were');
