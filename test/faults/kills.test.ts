import assert from 'node:assert/strict';
import { test } from 'node:test';
import { playKills } from './kills.ts';

test('A run that is killed at any moment is resumed at its checkpoint, and loses no record.', async (t) => {
  const seed = Date.now() % 1_000_000;
  t.diagnostic(`the same draws again: npm run test:faults -- --kills 4 --seed ${seed}`);
  const { kills, violations } = await playKills({ rounds: 4, seed });
  assert.deepEqual(violations, []);
  assert.ok(kills > 0);
});
