import assert from 'node:assert/strict';
import { test } from 'node:test';
import { playRounds } from './rounds.ts';

test('Whatever is killed, stopped or cut off, accepted fencing tokens never go back and no lock or lease is left.', async (t) => {
  const seed = Date.now() % 1_000_000;
  t.diagnostic(`the same draws again: npm run test:faults -- --rounds 24 --lanes 12 --seed ${seed}`);
  const { rounds, outcomes, violations } = await playRounds({ rounds: 24, lanes: 12, seed });
  assert.deepEqual(violations, []);
  assert.equal(rounds, 24);
  assert.ok((outcomes.completed ?? 0) > 0, 'some run completes');
});
