import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkFits, listFaults, playPlantedFault } from './planted.ts';
import { playSideBySide } from './side-by-side.ts';

const first = Number(process.env.SIM_SEED ?? 1);
const runs = Number(process.env.SIM_RUNS ?? 2000);

test('Nothing that must hold is violated in 2,000 simulated worlds with drawn faults.', {
  timeout: 600_000,
}, async (t) => {
  t.diagnostic(`the same again: npm run test:sim -- --runs ${runs} --seed ${first}`);
  const played = await playSideBySide({ first, runs });
  t.diagnostic(`${played.runs} runs with ${played.invocations} invocations: ${JSON.stringify(played.outcomes)}`);
  const failed = played.failures.map(({ seed, violations }) => [
    `npm run test:sim -- --seed ${seed}`,
    ...violations.slice(0, 3),
  ]);
  assert.deepEqual(failed, []);
  assert.equal(played.runs, runs);
});

test('The simulator can fail: a fault in lib is found.', { timeout: 600_000 }, async () => {
  const found = await playPlantedFault('lock-without-compare.patch', 1, 500);
  assert.ok(found.runs !== undefined, found.what);
  assert.match(found.what, /although the lock .* belongs to|was completed by/);
});

test('Every fault that can be planted fits the code as it is.', async () => {
  const faults = await listFaults();
  assert.ok(faults.length > 0);
  for (const fault of faults) await checkFits(fault);
});
