import { parseArgs } from 'node:util';
import { playRounds } from './rounds.ts';

const { values } = parseArgs({
  options: { rounds: { type: 'string' }, seed: { type: 'string' }, lanes: { type: 'string' } },
});
const rounds = Number(values.rounds ?? 500);
const seed = Number(values.seed ?? Date.now() % 1_000_000);
const lanes = Number(values.lanes ?? 12);
console.log(
  `${rounds} rounds on ${lanes} locks; the same draws again with --rounds ${rounds} --lanes ${lanes} --seed ${seed}`,
);
const summary = await playRounds({ rounds, lanes, seed });
console.log(JSON.stringify(summary, undefined, 2));
process.exitCode = summary.violations.length === 0 ? 0 : 1;
