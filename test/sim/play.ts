import { parseArgs } from 'node:util';
import { STRICT } from './draw-weather.ts';
import { shortestOf, tellSeed } from './seeds.ts';
import { playSideBySide } from './side-by-side.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string' },
    seed: { type: 'string' },
    with: { type: 'string' },
    tell: { type: 'boolean' },
  },
});
const first = Number(values.seed ?? Date.now() % 1_000_000);
const runs = Number(values.runs ?? (values.seed === undefined ? 2000 : 1));
const strict = values.with === 'all' ? Object.keys(STRICT) : (values.with?.split(',') ?? []);
const withStrict = strict.length > 0 ? ` --with ${strict.join(',')}` : '';

if (values.tell) await tellSeed(first, new Set(strict), console.log);
else await play();

async function play() {
  const startedMs = performance.now();
  console.log(`${runs} runs; the same again: npm run test:sim -- --runs ${runs} --seed ${first}${withStrict}`);
  const played = await playSideBySide({ first, runs, strict });
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
  const { history, violations } = await shortestOf(failed.seed, new Set(strict));
  console.log(
    `${played.failures.length} seeds failed. The shortest history of seed ${failed.seed} that fails like it:`,
  );
  console.log(JSON.stringify(history, undefined, 1));
  for (const violation of violations) console.log(`violated: ${violation}`);
  console.log(`To read what happens: npm run test:sim -- --seed ${failed.seed} --tell${withStrict}`);
}
