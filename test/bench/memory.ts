import { startNginx } from './nginx.ts';
import { type Row, rowOf } from './row.ts';
import type { Stage } from './stage.ts';

const MEMORY_MB = 256;
const MOST_MB = 200;

/** Peak resident memory of a long list, compared with a short one. */
export async function measureMemory(stage: Stage): Promise<Row[]> {
  const [many, few] = stage.quick ? [5000, 1000] : [1_000_000, 10_000];
  const rounds = stage.quick ? 1 : 2;
  await using target = await startNginx();
  const env = { NODE_OPTIONS: limitsOf(MEMORY_MB) };
  const pairs = [];
  for (let round = 1; round <= rounds; round++) {
    stage.progress(`memory: ${round} of ${rounds}`);
    const { peakMb: own } = await stage.copy(target.url, many, env);
    const { peakMb: other } = await stage.copy(target.url, few, env);
    pairs.push({ own, other });
  }
  const most = Math.max(...pairs.map(({ own }) => own));
  return [rowOf('memory', pairs, { ok: most <= MOST_MB, why: `at most ${MOST_MB} MB with ${MEMORY_MB} MB` })];
}

/** As the bootstrap script of Lambda's Node runtimes sets them: a tenth for the new space, which has two halves. */
function limitsOf(memoryMb: number): string {
  const newSpaceMb = Math.floor(memoryMb / 10);
  return `--max-semi-space-size=${Math.floor(newSpaceMb / 2)} --max-old-space-size=${memoryMb - newSpaceMb}`;
}
