import { writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { measureArtifact } from './artifact.ts';
import { measureBulk } from './bulk.ts';
import { chartOf } from './chart.ts';
import { measureEtcd } from './etcd.ts';
import { measureLatency } from './latency.ts';
import { measureMemory } from './memory.ts';
import { type Row, type RowName, rowNames, tableOf, unmeasured } from './row.ts';
import { openStage, type Stage } from './stage.ts';
import { measureStart } from './start.ts';
import { measureThroughput } from './throughput.ts';

const USAGE = `npm run bench -- [--only <row,…>] [--quick] [--json] [--chart <file>]
  --only   some of: ${rowNames.join(', ')}
  --quick  small sizes, which measure nothing, to see that the bench runs
  --json   the rows as one JSON object on the last line
  --chart  draws the rows as an SVG`;

type Measure = (stage: Stage, wanted: ReadonlySet<RowName>) => Promise<Row[]>;

const families: [RowName[], Measure][] = [
  [['throughput', 'rival'], measureThroughput],
  [['steady-latency', 'long-tail'], measureLatency],
  [['bulk', 'bulk-loop', 'bulk-work', 'unchanged'], measureBulk],
  [['memory', 'compared-memory'], measureMemory],
  [['cold-start', 'cold-skip'], measureStart],
  [['warm-skip', 'lock'], measureEtcd],
  [['artifact'], measureArtifact],
];

async function bench(only: ReadonlySet<RowName>, quick: boolean): Promise<Row[]> {
  const rows: Row[] = [];
  await using stage = await openStage({ quick, progress: (line) => console.error(line) });
  const place = stage.coresDivided ? 'clients have a core of their own' : 'clients and servers share their cores';
  console.log(`Node ${process.version}, ${stage.etcd.origin}, ${cpus().length} cores, ${place}`);
  for (const [names, measure] of families) {
    const wanted = new Set(names.filter((name) => only.has(name)));
    if (wanted.size === 0) continue;
    try {
      rows.push(...(await measure(stage, wanted)));
    } catch (error) {
      const why = (error as Error).message.trim().split('\n')[0]!;
      rows.push(...[...wanted].map((name) => unmeasured(name, why)));
    }
  }
  return rows;
}

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    chart: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const only = new Set((options.only?.split(',') ?? rowNames) as RowName[]);
const unknown = [...only].filter((name) => !rowNames.includes(name));
if (options.help || unknown.length > 0) {
  console.error(unknown.length > 0 ? `no such row: ${unknown.join(', ')}\n${USAGE}` : USAGE);
  process.exit(options.help ? 0 : 2);
}
const load = () => loadavg()[0]!.toFixed(1);
const loadBefore = load();
const rows = await bench(only, options.quick);
console.log(tableOf(rows));
console.log(
  `${rows.filter(({ ok }) => ok).length} of ${rows.length} as wanted; load ${loadBefore} before, ${load()} after`,
);
if (options.chart) await writeFile(options.chart, chartOf(rows));
if (options.json) console.log(JSON.stringify({ rows }));
