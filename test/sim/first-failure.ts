import { playSeeds } from './seeds.ts';

/** Plays seeds until one fails, and prints how many that took and what was violated. */
const [first, runs] = process.argv.slice(2).map(Number) as [number, number];
const played = await playSeeds({ first, runs, stopAt: 1 });
const [failure] = played.failures;
console.log(
  JSON.stringify(
    failure ? { runs: played.runs, what: failure.violations[0] } : { what: `${played.runs} runs, no violation` },
  ),
);
