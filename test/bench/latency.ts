import { median, type Pair, type Row, type RowName, rowOf } from './row.ts';
import { logNormal, startSlowTarget } from './slow-target.ts';
import type { Stage } from './stage.ts';

const LANES = 50;

/**
 * Records per second at a slow target from the first write to the last (starting has rows of its own), compared with N
 * lanes that are never idle. It also reports what a bare loop of undici reaches there, with N lanes and with a single one.
 * Nothing waits in a single lane, so what it misses is the cost of an exchange in undici and the machine.
 */
export async function measureLatency(stage: Stage, wanted: ReadonlySet<RowName>): Promise<Row[]> {
  const rounds = stage.quick ? 1 : 3;
  const tail = stage.quick ? { p50Ms: 2, p99Ms: 50, mostMs: 100 } : { p50Ms: 20, p99Ms: 500, mostMs: 1000 };
  // With a long tail, idle lanes wait for the last records; twice the records halve that effect.
  const kinds: { name: RowName; draw: () => () => number; records: number }[] = [
    { name: 'steady-latency', draw: () => () => 20, records: stage.quick ? 200 : 20_000 },
    { name: 'long-tail', draw: () => logNormal(tail), records: stage.quick ? 200 : 40_000 },
  ];
  /** The share of the ideal that a bare loop of N lanes reaches. */
  async function loop(drawMs: () => number, writes: number, lanes: number) {
    await using target = await startSlowTarget(drawMs);
    await stage.run('undici-loop', [target.url, `${writes}`, `${lanes}`]);
    return target.servedMs / lanes / target.busyMs;
  }

  const rows: Row[] = [];
  for (const { name, draw, records } of kinds) {
    if (!wanted.has(name)) continue;
    const pairs: Pair[] = [];
    const served: number[] = [];
    const whole: number[] = [];
    const bare: number[] = [];
    const alone: number[] = [];
    for (let round = 1; round <= rounds; round++) {
      stage.progress(`${name}: ${round} of ${rounds}`);
      await using target = await startSlowTarget(draw());
      const { durationMs } = await stage.copy(target.url, records);
      const idealMs = target.servedMs / LANES;
      pairs.push({ own: (records / target.busyMs) * 1000, other: (records / idealMs) * 1000 });
      whole.push(idealMs / durationMs);
      served.push(target.servedMs / records);
      bare.push(await loop(draw(), records, LANES));
      alone.push(await loop(draw(), records / LANES, 1));
    }
    const [average, ofAll, ofLoop, ofLane] = [served, whole, bare, alone].map((figures) => median(figures).toFixed(2));
    const why = `served in ${average} ms; with start and end ${ofAll}, a bare loop ${ofLoop}, one lane of it alone ${ofLane}`;
    rows.push(rowOf(name, pairs, { ok: true, why }));
  }
  return rows;
}
