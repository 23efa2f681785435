import type { Result } from '../../lib/run/result.ts';
import { addCounts, type Counts, formatCounts, noCounts } from './counts.ts';
import { idsOption } from './resume-command.ts';
import type { Part } from './windows.ts';

/** Shows an operator how far a backfill is; at disposal, its last lines. */
export interface Progress extends Disposable {
  begin(index: number, part: Part): void;
  /** Adds the result of one invocation for the part that has begun. */
  add(result: Result): void;
}

interface Terminal {
  /** Prints a line that stays. */
  line(text: string): void;
  /** Replaces the bar; without a terminal it shows nothing. */
  bar(text: string): void;
}

const BAR_CELLS = 20;
const MAX_PROBLEMS = 20;
/** Longer lists of ids are too long to paste into a shell. */
const MAX_FAILED = 100;

/** Prints a line for each invocation, and on a terminal a bar below them. */
export function createProgress(total: number, dryRun: boolean, { line, bar }: Terminal): Progress {
  const startedMs = Date.now();
  let current = { index: 0, part: {} as Part, counts: noCounts() };
  let earlier = noCounts();
  let fraction = 0;
  let expectedEndMs: number | undefined;
  let problems = 0;
  const failed: string[] = [];

  const remaining = () => {
    if (fraction === 1) return 'done';
    if (expectedEndMs === undefined) return 'remaining time unknown';
    return `about ${formatDuration(Math.max(0, expectedEndMs - Date.now()))} left`;
  };
  const formatTotal = () => formatCounts(addCounts(earlier, current.counts), dryRun);
  const draw = () => {
    const cells = Math.floor(fraction * BAR_CELLS);
    const filled = '█'.repeat(cells) + '░'.repeat(BAR_CELLS - cells);
    const place = total > 1 ? `window ${current.index + 1} of ${total}, ` : '';
    const times = `${formatDuration(Date.now() - startedMs)}, ${remaining()}`;
    bar(`${filled} ${Math.floor(fraction * 100)} %  ${place}${formatTotal()}  ${times}`);
  };
  const timer = setInterval(draw, 1000);

  return {
    begin(index, part) {
      earlier = addCounts(earlier, current.counts);
      current = { index, part, counts: noCounts() };
      draw();
    },
    add(result) {
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
      const times = `${formatDuration(elapsedMs)}, ${remaining()}`;
      line(`${place}${nameOf(part)}: ${result.status}${why}, ${formatCounts(counts, dryRun)}; ${times}`);
      if (dryRun && result.wouldWrite?.length) line(`  such as ${result.wouldWrite.join(', ')}`);
      if (result.removalsWithheld)
        line(`  ${result.removalsWithheld} vanished records were not removed: "serverless status" says what to do`);
      draw();
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      if (problems > MAX_PROBLEMS)
        line(`${problems - MAX_PROBLEMS} more records were not written; the function's log names them`);
      if (failed.length > 0 && failed.length <= MAX_FAILED)
        line(`to write the failed records again: ${idsOption(failed)}`);
      if (total > 1) line(`total: ${formatTotal()}`);
    },
  };
}

/** The share of a part that is done, 0 to 1. Only a list of ids says in advance how many records there are. */
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

/** `12 s`, `3 min 5 s`, `2 h 10 min`. */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}
