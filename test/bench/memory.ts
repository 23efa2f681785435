import { startNginx } from './nginx.ts';
import { type Row, type RowName, rowOf } from './row.ts';
import { startSlowTarget } from './slow-target.ts';
import type { Stage } from './stage.ts';

const MEMORY_MB = 256;
const MOST_MB = 200;

/** Peak resident memory of a long list, compared with a short one; and of comparing it, with writing it. */
export async function measureMemory(stage: Stage, wanted: ReadonlySet<RowName>): Promise<Row[]> {
  const [many, few] = stage.quick ? [5000, 1000] : [1_000_000, 10_000];
  const rounds = stage.quick ? 1 : 2;
  const env = { NODE_OPTIONS: limitsOf(MEMORY_MB) };
  await using nginx = await startNginx();
  const written = async (records: number) => (await stage.copy(nginx.url, records, env)).peakMb;
  const rows: Row[] = [];

  async function measure(name: RowName, ofOwn: () => Promise<number>, ofOther: () => Promise<number>) {
    if (!wanted.has(name)) return;
    const pairs = [];
    for (let round = 1; round <= rounds; round++) {
      stage.progress(`${name}: ${round} of ${rounds}`);
      pairs.push({ own: await ofOwn(), other: await ofOther() });
    }
    const most = Math.max(...pairs.map(({ own }) => own));
    rows.push(rowOf(name, pairs, { ok: most <= MOST_MB, why: `at most ${MOST_MB} MB with ${MEMORY_MB} MB` }));
  }

  await measure(
    'memory',
    () => written(many),
    () => written(few),
  );
  await measure(
    'compared-memory',
    async () => {
      await using target = await startSlowTarget(() => 0, many);
      return (await stage.compare(target.url, many, env)).peakMb;
    },
    () => written(many),
  );
  return rows;
}

/** As the bootstrap script of Lambda's Node runtimes sets them: a tenth for the new space, which has two halves. */
function limitsOf(memoryMb: number): string {
  const newSpaceMb = Math.floor(memoryMb / 10);
  return `--max-semi-space-size=${Math.floor(newSpaceMb / 2)} --max-old-space-size=${memoryMb - newSpaceMb}`;
}
