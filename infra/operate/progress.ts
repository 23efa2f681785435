import type { Result } from './backfill.ts';
import type { Part } from './options.ts';
import { idsOption } from './resume-command.ts';

export interface Counts {
  read: number;
  written: number;
  failed: number;
  invalid: number;
  missing: number;
}

/** Tells how a backfill gets on. */
export interface Progress extends Disposable {
  begin(index: number, part: Part): void;
  told(result: Result): void;
}

interface Terminal {
  /** Prints a line that stays. */
  line(text: string): void;
  /** Shows a line that is written over; does nothing where there is no terminal. */
  bar(text: string): void;
}

const BAR_CELLS = 20;
const MAX_PROBLEMS = 20;
/** What can be pasted into a shell. */
const MAX_FAILED = 100;

/** A line for each invocation, and on a terminal a bar below them. */
export function createProgress(total: number, dryRun: boolean, { line, bar }: Terminal): Progress {
  const startedMs = Date.now();
  let current = { index: 0, part: {} as Part, counts: noCounts() };
  let before = noCounts();
  let fraction = 0;
  let expectedEndMs: number | undefined;
  let problems = 0;
  const failed: string[] = [];

  const remaining = () => {
    if (fraction === 1) return 'done';
    if (expectedEndMs === undefined) return 'remaining time unknown';
    return `about ${duration(Math.max(0, expectedEndMs - Date.now()))} left`;
  };
  const draw = () => {
    const cells = Math.floor(fraction * BAR_CELLS);
    const filled = '█'.repeat(cells) + '░'.repeat(BAR_CELLS - cells);
    const place = total > 1 ? `window ${current.index + 1} of ${total}, ` : '';
    const times = `${duration(Date.now() - startedMs)}, ${remaining()}`;
    bar(`${filled} ${Math.floor(fraction * 100)} %  ${place}${told(sum(before, current.counts), dryRun)}  ${times}`);
  };
  const timer = setInterval(draw, 1000);

  return {
    begin(index, part) {
      before = sum(before, current.counts);
      current = { index, part, counts: noCounts() };
      draw();
    },
    told(result) {
      const { index, part } = current;
      const counts = result.pass ?? result.report;
      current.counts = counts;
      fraction = (index + partDone(part, result.status, counts)) / total;
      const elapsedMs = Date.now() - startedMs;
      if (fraction > 0) expectedEndMs = startedMs + elapsedMs / fraction;
      for (const { id, kind, reason } of result.problems ?? []) {
        if (++problems <= MAX_PROBLEMS) line(`${kind}: ${id}: ${reason}`);
      }
      failed.push(...(result.failedIds ?? []));
      const why = result.reason === undefined ? '' : ` (${result.reason})`;
      const place = total > 1 ? `[${index + 1}/${total}] ` : '';
      const times = `${duration(elapsedMs)}, ${remaining()}`;
      line(`${place}${nameOf(part)}: ${result.status}${why}, ${told(counts, dryRun)}; ${times}`);
      if (dryRun && result.wouldWrite?.length) line(`  such as ${result.wouldWrite.join(', ')}`);
      draw();
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      if (problems > MAX_PROBLEMS)
        line(`${problems - MAX_PROBLEMS} more were not written; the function's log has them`);
      if (failed.length > 0 && failed.length <= MAX_FAILED)
        line(`to write the failed ones again: ${idsOption(failed)}`);
      if (total > 1) line(`together: ${told(sum(before, current.counts), dryRun)}`);
    },
  };
}

/** How much of a part is done, 0 to 1: only of ids is it known how many there are. */
function partDone({ ids }: Part, status: string, { read, missing }: Counts): number {
  if (status === 'completed') return 1;
  return ids ? Math.min(0.99, (read + missing) / ids.length) : 0;
}

function nameOf({ since, until, ids }: Part): string {
  if (ids) return ids.length === 1 ? '1 id' : `${ids.length} ids`;
  if (!since && !until) return 'everything';
  const short = (instant: string) => instant.replace(/(:00)?\.000Z$/, 'Z');
  return [since && `from ${short(since)}`, until && `until ${short(until)}`].filter(Boolean).join(' ');
}

const noCounts = (): Counts => ({ read: 0, written: 0, failed: 0, invalid: 0, missing: 0 });

const sum = (a: Counts, b: Counts): Counts => ({
  read: a.read + b.read,
  written: a.written + b.written,
  failed: a.failed + b.failed,
  invalid: a.invalid + b.invalid,
  missing: a.missing + b.missing,
});

/** Counts in words: of what may go wrong only what did. */
export function told(counts: Counts, dryRun = false): string {
  const wrong = (['failed', 'invalid', 'missing'] as const).filter((name) => counts[name] > 0);
  const written = `${counts.written} ${dryRun ? 'would be written' : 'written'}`;
  return [`${counts.read} read`, written, ...wrong.map((name) => `${counts[name]} ${name}`)].join(', ');
}

/** `12 s`, `3 min 5 s`, `2 h 10 min`. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}
