import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { startEtcd } from '../../infra/local/etcd/etcd.ts';
import { drawHistory } from './draw-history.ts';
import { holdAgainst } from './hold-against.ts';
import { playPlanted } from './planted.ts';
import { shortestOf, tellHistory } from './seeds.ts';
import { playSideBySide } from './side-by-side.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string' },
    seed: { type: 'string' },
    tell: { type: 'boolean' },
    planted: { type: 'boolean' },
    history: { type: 'string' },
    model: { type: 'string' },
  },
});
const first = Number(values.seed ?? Date.now() % 1_000_000);
const runs = Number(values.runs ?? (values.seed === undefined ? 2000 : 1));

if (values.planted) process.exitCode = (await playPlanted(first, Number(values.runs ?? 5000))) ? 0 : 1;
else if (values.model) await compareModel(Number(values.model));
else if (values.history) await tellHistory(JSON.parse(await readFile(values.history, 'utf8')), console.log);
else if (values.tell) await tellHistory(drawHistory(first), console.log);
else await play();

async function play() {
  const startedMs = performance.now();
  console.log(`${runs} runs; the same again: npm run test:sim -- --runs ${runs} --seed ${first}`);
  const played = await playSideBySide({ first, runs });
  const seconds = (performance.now() - startedMs) / 1000;
  console.log(`${played.runs} runs with ${played.invocations} invocations in ${seconds.toFixed(1)} s`);
  console.log(JSON.stringify(played.outcomes, undefined, 2));
  for (const { seed, violations } of played.failures.slice(0, 20))
    console.log(
      `seed ${seed}: ${violations[0]?.slice(0, 300)}${violations.length > 1 ? ` (and ${violations.length - 1} more)` : ''}`,
    );
  const [failed] = played.failures;
  if (!failed) return;
  process.exitCode = 1;
  const { history, violations } = await shortestOf(failed.seed);
  console.log(
    `${played.failures.length} seeds failed. The shortest history of seed ${failed.seed} that fails like it:`,
  );
  console.log(JSON.stringify(history));
  for (const violation of violations) console.log(`violated: ${violation}`);
  console.log(`To read what happens: --seed ${failed.seed} --tell, or with that line in a file --history FILE`);
}

/** Holds the model of etcd against a real one. */
async function compareModel(sequences: number) {
  console.log(`${sequences} sequences; the same again: npm run test:sim -- --model ${sequences} --seed ${first}`);
  await using etcd = await startEtcd();
  const { differences, calls } = await holdAgainst(etcd.endpoints[0]!, { first, sequences });
  console.log(`${sequences} sequences with ${calls} calls to ${etcd.origin}: ${differences.length} differ`);
  for (const difference of differences.slice(0, 10)) console.log(JSON.stringify(difference, bytesAsText));
  if (differences.length > 0) process.exitCode = 1;
}

function bytesAsText(_: string, value: unknown) {
  return Object(value).type === 'Buffer' ? Buffer.from(Object(value).data).toString() : value;
}
