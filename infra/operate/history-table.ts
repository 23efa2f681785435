import type { PastRun } from '../../lib/run/status.ts';
import { printable } from '../terminal/printable.ts';

/** The most characters of a line. */
const WIDTH = 100;
const BAR_CELLS = 5;
const BAR = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
/** A shorter name of who it was says nothing. */
const MIN_WHO = 5;

interface Column {
  heading: string;
  /** One for each run. */
  cells: string[];
  alignRight?: boolean;
  /** There only where something stands in it. */
  atTimes?: boolean;
  /** What is said beneath the row where the table has no room for this column; undefined for nothing. */
  beneath?: (run: PastRun) => string | undefined;
}

/**
 * One line for each run, the newest first, of at most 100 characters; a second line beneath says why a run did not complete, and
 * what else is worth saying. A column in which nothing stands is left out.
 */
export function historyTable(history: readonly PastRun[]): string[] {
  if (history.length === 0) return ['no run yet'];
  const columns = columnsOf(history).filter(
    ({ atTimes, cells }) => !atTimes || cells.some((cell) => /[^0]/.test(cell)),
  );
  const tooWide = columns.findIndex((_, index) => widthOf(columns.slice(0, index + 1)) > WIDTH);
  const shown = tooWide < 0 ? columns : columns.slice(0, tooWide);
  const left = columns.slice(shown.length);
  const room = WIDTH - widthOf(shown) - '  '.length;
  const [who] = left;
  if (who?.heading === 'WHO' && room >= MIN_WHO) {
    shown.push({ ...who, cells: who.cells.map((cell) => endOf(room, cell)) });
    left.shift();
  }
  const widths = widthsOf(shown);
  const lineOf = (textOf: (column: Column) => string) =>
    shown
      .map((column, at) => textOf(column)[column.alignRight ? 'padStart' : 'padEnd'](widths[at]!))
      .join('  ')
      .trimEnd();
  const indent = ' '.repeat(widths[0]! + '  '.length);
  return [
    lineOf(({ heading }) => heading),
    ...history.flatMap((run, index) => {
      const more = beneath(run, left);
      return [lineOf(({ cells }) => cells[index]!), ...(more ? [cutTo(WIDTH, indent + more)] : [])];
    }),
  ];
}

function columnsOf(history: readonly PastRun[]): Column[] {
  const column = (heading: string, cell: (run: PastRun) => unknown, more: Partial<Column> = {}): Column => ({
    ...{ heading, cells: history.map((run) => printable(String(cell(run) ?? ''))) },
    ...more,
  });
  const count = (heading: string, name: 'read' | 'written' | 'unchanged' | 'removed' | 'failed', more = {}) =>
    column(heading, ({ report }) => report[name], { alignRight: true, ...more });
  const atTimes = true;
  const longestMs = Math.max(...history.map(durationMs));
  return [
    column('BEGAN (UTC)', ({ startedAt }) => startedAt.slice(5, 19).replace('T', ' ')),
    column('SHARD', ({ shard }) => shard && `${shard.index}/${shard.of}`, { atTimes }),
    column('KIND', ({ kind }) => kind),
    column('STATUS', ({ status }) => status),
    count('READ', 'read'),
    count('WRITTEN', 'written'),
    count('SAME', 'unchanged', { atTimes }),
    count('REMOVED', 'removed', { atTimes }),
    count('FAILED', 'failed', { atTimes }),
    column('TOOK', (run) => describeDuration(durationMs(run)), { alignRight: true }),
    column('', (run) => bar(durationMs(run) / longestMs)),
    column('SKIPS', ({ skipsBefore }) => skipsBefore, {
      ...{ alignRight: true, atTimes },
      beneath: ({ skipsBefore }) => (skipsBefore ? `${skipsBefore} skips before` : undefined),
    }),
    column('TOKEN', ({ fencingToken }) => fencingToken, {
      alignRight: true,
      beneath: ({ fencingToken }) => `token ${fencingToken}`,
    }),
    // Where a tick has run concerns hardly anybody; who has started a backfill does.
    column('WHO', ({ startedBy, host }) => startedBy ?? host, {
      atTimes,
      beneath: ({ startedBy }) => startedBy && `by ${startedBy}`,
    }),
  ];
}

function beneath(run: PastRun, left: readonly Column[]): string {
  const { removalsWithheld, report, reason, message, error } = run;
  const said = [
    reason ?? error?.name,
    ...left.map(({ beneath }) => beneath?.(run)),
    removalsWithheld ? `${removalsWithheld} removals withheld` : undefined,
    report.invalid ? `${report.invalid} invalid` : undefined,
    report.missing ? `${report.missing} missing` : undefined,
    message ?? error?.message,
  ];
  return printable(said.filter(Boolean).join('; '));
}

const widthsOf = (columns: readonly Column[]) =>
  columns.map(({ heading, cells }) => Math.max(heading.length, ...cells.map((cell) => cell.length)));

const widthOf = (columns: readonly Column[]) => widthsOf(columns).reduce((sum, width) => sum + width + 2, -2);

/** NaN where an answer has no times. */
const durationMs = ({ startedAt, endedAt }: PastRun) => Math.max(0, Date.parse(endedAt) - Date.parse(startedAt));

/** A run lasts 15 minutes at most, so seconds tell it apart. */
const describeDuration = (ms: number) =>
  Number.isNaN(ms) ? '' : `${ms < 9950 ? (ms / 1000).toFixed(1) : Math.round(ms / 1000)} s`;

/** What lasted at all has a bar that is seen. */
function bar(share: number): string {
  const eighths = share > 0 ? Math.max(1, Math.round(share * BAR_CELLS * 8)) : 0;
  return '█'.repeat(eighths / 8) + BAR[eighths % 8]!;
}

/** @returns whole characters, of which the last one says that there were more */
function cutTo(length: number, text: string): string {
  if (text.length <= length) return text;
  return `${text.slice(0, length - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}

/** The end of a name, such as an ARN's, is what tells people apart. */
function endOf(length: number, text: string): string {
  if (text.length <= length) return text;
  return `…${text.slice(1 - length).replace(/^[\udc00-\udfff]/, '')}`;
}
