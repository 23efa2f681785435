import type { Result } from '../../lib/run/result.ts';
import { Refusal } from '../terminal/refusal.ts';
import { formatBar, formatDuration, formatRemaining, nameOfRange, type Terminal } from './bar.ts';
import { addCounts, formatCounts, noCounts } from './counts.ts';
import type { Functions } from './functions.ts';
import type { BackfillRequest } from './options.ts';
import { cut, type Part } from './windows.ts';

const MAX_PROBLEMS = 20;

/**
 * Rehearses a backfill window by window and shard by shard: reads and checks, and prints what would be written.
 * @throws Refusal
 */
export async function dryRun(request: BackfillRequest, invoke: Functions['backfill'], terminal: Terminal) {
  const { line, bar } = terminal;
  const parts = cut(request);
  const startedMs = Date.now();
  let total = noCounts();
  let problems = 0;
  const times = (done: number) => {
    const elapsedMs = Date.now() - startedMs;
    return `${formatDuration(elapsedMs)}, ${formatRemaining(done, elapsedMs)}`;
  };
  for (const [index, part] of parts.entries()) {
    const place = parts.length > 1 ? `window ${index + 1} of ${parts.length}, ` : '';
    const before = index / parts.length;
    bar(`${formatBar(before)}  ${place}${formatCounts(total, true)}  ${times(before)}`);
    const result = await invoke({ ...part, dryRun: true, concurrency: request.concurrency });
    total = addCounts(total, result.report);
    for (const { id, kind, reason } of result.problems ?? []) {
      if (++problems <= MAX_PROBLEMS) line(`${kind}: ${id}: ${reason}`);
    }
    line(
      `${parts.length > 1 ? `[${index + 1}/${parts.length}] ` : ''}${describe(part, result)}; ${times((index + 1) / parts.length)}`,
    );
    if (result.wouldWrite?.length) line(`  such as ${result.wouldWrite.join(', ')}`);
    if (result.status !== 'completed')
      throw new Refusal('the dry run did not fit into one invocation: try a shorter --window');
  }
  if (problems > MAX_PROBLEMS)
    line(`${problems - MAX_PROBLEMS} more records would not be written; the function's log names them`);
  if (parts.length > 1) line(`total: ${formatCounts(total, true)}`);
}

function describe(part: Part, { status, reason, report }: Result): string {
  const why = reason === undefined ? '' : ` (${reason})`;
  return `${nameOfRange(part, part.ids?.length)}: ${status}${why}, ${formatCounts(report, true)}`;
}
