import assert from 'node:assert/strict';
import { test } from 'node:test';
import { playBackfills } from './backfills.ts';

test('However often, late and in whatever order its events come, and whatever is killed, a detached backfill copies each window and counts it once.', async (t) => {
  const seed = Date.now() % 1_000_000;
  t.diagnostic(`the same draws again: npm run test:faults -- --backfills 3 --seed ${seed}`);
  const { deliveries, violations } = await playBackfills({ rounds: 3, seed });
  assert.deepEqual(violations, []);
  assert.ok(deliveries > 0);
});
