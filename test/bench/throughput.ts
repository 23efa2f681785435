import { startNginx } from './nginx.ts';
import { median, type Pair, type Row, type RowName, rowOf } from './row.ts';
import type { Invoked, Stage } from './stage.ts';

type Told = Pick<Invoked, 'durationMs' | 'cpuMs'>;

/** Records per second, compared with the upper bound and with the obvious first version. */
export async function measureThroughput(stage: Stage, wanted: ReadonlySet<RowName>): Promise<Row[]> {
  const records = stage.quick ? 1000 : 200_000;
  await using target = await startNginx();
  const others: [RowName, number, () => Promise<Told>][] = [
    ['throughput', 5, () => stage.run('undici-loop', [target.url, `${records}`, '50'])],
    ['rival', 2, () => stage.run('fetch-limit', [`${stage.sourceUrl}/${records}`, target.url, `${records}`])],
  ];
  const perSecond = ({ durationMs }: Told) => (records / durationMs) * 1000;
  const rows: Row[] = [];
  for (const [name, wantedRounds, measureOther] of others) {
    if (!wanted.has(name)) continue;
    const rounds = stage.quick ? 1 : wantedRounds;
    const pairs: Pair[] = [];
    const cpu: Pair[] = [];
    for (let round = 1; round <= rounds; round++) {
      stage.progress(`${name}: ${round} of ${rounds}`);
      const own = await stage.copy(target.url, records);
      const other = await measureOther();
      pairs.push({ own: perSecond(own), other: perSecond(other) });
      cpu.push({ own: own.cpuMs, other: other.cpuMs });
      stage.progress(`  own ${told(own, records)}, other ${told(other, records)}`);
    }
    const cpuRatio = median(cpu.map(({ own, other }) => other / own));
    rows.push(rowOf(name, pairs, { ok: true, why: `by CPU time ${cpuRatio.toFixed(2)}` }));
  }
  return rows;
}

const told = ({ durationMs, cpuMs }: Told, records: number) =>
  `${Math.round((records / durationMs) * 1000)}/s and ${((cpuMs * 1000) / records).toFixed(1)} µs of CPU each`;
