/** One measured figure next to its limit or its rival. */
export interface Row {
  name: RowName;
  value: number | null;
  against: number | null;
  /** Null where the row could not be measured. */
  ratio: number | null;
  limit: number;
  ok: boolean | null;
  /** `value` divided by `against`. */
  unit: string;
  /** Why there is no figure, or the row's further condition. */
  why?: string;
}

/** Every row: what it compares, the unit of both figures, and the limit of their ratio. */
export const rowTable = {
  throughput: { title: 'throughput / a bare undici loop', unit: 'records/s', atLeast: 0.8 },
  rival: { title: 'throughput / fetch with p-limit', unit: 'records/s', atLeast: 4 },
  'steady-latency': { title: 'target of 20 ms / ideal', unit: 'records/s', atLeast: 0.97 },
  'long-tail': { title: 'long-tailed target / ideal', unit: 'records/s', atLeast: 0.95 },
  bulk: { title: 'target of 20 ms, 500 a request / one each', unit: 'records/s', atLeast: 40 },
  'bulk-loop': { title: '500 a request / a bare undici loop of them', unit: 'records/s', atLeast: 0.6 },
  'bulk-work': { title: '500 a request / a loop that checks as much', unit: 'records/s', atLeast: 0.5 },
  unchanged: { title: 'target of 20 ms, all unchanged / writing all', unit: 'records/s', atLeast: 20 },
  memory: { title: 'peak memory, 1,000,000 / 10,000 records', unit: 'MB', atMost: 1.2 },
  'compared-memory': { title: 'peak memory, 1,000,000 compared / written', unit: 'MB', atMost: 1.6 },
  'cold-start': { title: 'cold start / esbuild by its defaults', unit: 'ms', atMost: 0.55 },
  'cold-skip': { title: 'skipped tick / tick of one record, cold', unit: 'ms', atMost: 0.75 },
  'warm-skip': { title: 'skipped tick, warm / one etcd read', unit: 'ms', atMost: 3 },
  lock: { title: 'TryLock + Unlock / their plain calls', unit: 'ms', atMost: 1.25 },
  artifact: { title: 'artifact / esbuild by its defaults, zipped', unit: 'kB', atMost: 0.6 },
} as const satisfies Record<string, { title: string; unit: string } & ({ atLeast: number } | { atMost: number })>;

export type RowName = keyof typeof rowTable;
export const rowNames = Object.keys(rowTable) as RowName[];

/** Two figures that belong together, measured one after the other. */
export interface Pair {
  own: number;
  other: number;
}

/**
 * Judges a row by the median of its pairs' ratios, because a machine that slows down slows both halves of a pair.
 * @param also a condition beside the ratio, and what was measured for it
 */
export function rowOf(name: RowName, pairs: Pair[], also?: { ok: boolean; why: string }): Row {
  const ratio = median(pairs.map(({ own, other }) => own / other));
  const { limit, reached } = limitOf(name);
  return {
    name,
    value: median(pairs.map(({ own }) => own)),
    against: median(pairs.map(({ other }) => other)),
    ratio,
    limit,
    ok: reached(ratio) && (also?.ok ?? true),
    unit: rowTable[name].unit,
    ...(also && { why: also.why }),
  };
}

/** A row that this machine cannot measure. */
export function unmeasured(name: RowName, why: string): Row {
  const { limit } = limitOf(name);
  return { name, value: null, against: null, ratio: null, limit, ok: null, unit: rowTable[name].unit, why };
}

export function limitOf(name: RowName) {
  const row = rowTable[name];
  return 'atLeast' in row
    ? { limit: row.atLeast, text: `at least ${row.atLeast}`, reached: (ratio: number) => ratio >= row.atLeast }
    : { limit: row.atMost, text: `at most ${row.atMost}`, reached: (ratio: number) => ratio <= row.atMost };
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The rows as lines for a reader. */
export function tableOf(rows: Row[]): string {
  const cells = rows.map((row) => [
    { true: 'ok', false: 'MISSED', null: '?' }[`${row.ok}`],
    rowTable[row.name].title,
    row.ratio === null ? '' : row.ratio.toFixed(2),
    limitOf(row.name).text,
    row.value === null ? '' : `${short(row.value)} / ${short(row.against!)} ${row.unit}`,
    row.why ?? '',
  ]);
  const table = [['', 'what', 'ratio', 'to reach', 'figures', ''], ...cells];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((line) => line[column]!.length)));
  return table
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const short = (value: number) => (value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3));
