import { parseArgs } from 'node:util';
import { playBackfills } from './backfills.ts';
import { playKills } from './kills.ts';
import { playRounds } from './rounds.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string' },
    lanes: { type: 'string' },
    kills: { type: 'string' },
    backfills: { type: 'string' },
    seed: { type: 'string' },
  },
});
const seed = Number(values.seed ?? Date.now() % 1_000_000);

if (values.kills !== undefined) {
  const rounds = Number(values.kills);
  console.log(`${rounds} runs are killed and resumed; the same draws again with --kills ${rounds} --seed ${seed}`);
  report(await playKills({ rounds, seed }));
} else if (values.backfills !== undefined) {
  const rounds = Number(values.backfills);
  console.log(`${rounds} detached backfills; the same draws again with --backfills ${rounds} --seed ${seed}`);
  report(await playBackfills({ rounds, seed }));
} else {
  const rounds = Number(values.rounds ?? 500);
  const lanes = Number(values.lanes ?? 12);
  console.log(
    `${rounds} rounds on ${lanes} locks; the same draws again with --rounds ${rounds} --lanes ${lanes} --seed ${seed}`,
  );
  report(await playRounds({ rounds, lanes, seed }));
}

function report(summary: { violations: string[] }) {
  console.log(JSON.stringify(summary, undefined, 2));
  process.exitCode = summary.violations.length === 0 ? 0 : 1;
}
