import { median, type Pair, type Row, type RowName, rowOf } from './row.ts';
import { logNormal, startSlowTarget } from './slow-target.ts';
import type { Stage } from './stage.ts';

const LANES = 50;

/** Records a second at a slow target, against what so many lanes that are never idle would write. */
export async function measureLatency(stage: Stage, wanted: ReadonlySet<RowName>): Promise<Row[]> {
  const records = stage.quick ? 200 : 20_000;
  const rounds = stage.quick ? 1 : 3;
  const tail = stage.quick ? { p50Ms: 2, p99Ms: 50, mostMs: 100 } : { p50Ms: 20, p99Ms: 500, mostMs: 1000 };
  const draws: [RowName, () => () => number][] = [
    ['steady-latency', () => () => 20],
    ['long-tail', () => logNormal(tail)],
  ];
  const rows: Row[] = [];
  for (const [name, draw] of draws) {
    if (!wanted.has(name)) continue;
    const pairs: Pair[] = [];
    const served: number[] = [];
    for (let round = 1; round <= rounds; round++) {
      stage.progress(`${name}: ${round} of ${rounds}`);
      await using target = await startSlowTarget(draw());
      const { durationMs } = await stage.copy(target.url, records);
      pairs.push({ own: (records / durationMs) * 1000, other: (records / (target.servedMs / LANES)) * 1000 });
      served.push(target.servedMs / records);
    }
    rows.push(rowOf(name, pairs, { ok: true, why: `served in ${median(served).toFixed(1)} ms on average` }));
  }
  return rows;
}
