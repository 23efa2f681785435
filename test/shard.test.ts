import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allShards, checkBackfillShard, nameOfShard, shardOf } from '../lib/shard.ts';

test('A job has all of its shards, and a whole job is one.', () => {
  assert.deepEqual(allShards(1), [{ index: 0, of: 1 }]);
  assert.deepEqual(allShards(3), [
    { index: 0, of: 3 },
    { index: 1, of: 3 },
    { index: 2, of: 3 },
  ]);
});

test('A shard is named for a reader.', () => {
  assert.equal(nameOfShard(), 'the whole job');
  assert.equal(nameOfShard({ index: 0, of: 1 }), 'the whole job');
  assert.equal(nameOfShard({ index: 2, of: 4 }), 'shard 2 of 4');
});

test('The shard of an id is the first 32 bits of its SHA-256, modulo their number, on every machine.', () => {
  // SHA-256 of "abc" begins with ba7816bf, as FIPS 180-2 says.
  assert.deepEqual(
    [1, 2, 10, 1000].map((of) => shardOf('abc', of)),
    [0, 0xba7816bf % 2, 0xba7816bf % 10, 0xba7816bf % 1000],
  );
  const shards = new Set(Array.from({ length: 200 }, (_, index) => shardOf(`model-${index}`, 8)));
  assert.deepEqual([...shards].sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
});

test('What has no id belongs to the first shard.', () => {
  for (const id of [undefined, null, 7, {}]) assert.equal(shardOf(id, 8), 0);
});

test('A backfill has to be for the division that the settings ask for, and the refusal says which that is.', () => {
  checkBackfillShard({}, 1);
  checkBackfillShard({ shard: { index: 1, of: 4 } }, 4);
  assert.throws(() => checkBackfillShard({}, 4), {
    name: 'EventError',
    message: 'the backfill is for the whole job, but SHARDS is 4: send one for each shard',
  });
  assert.throws(() => checkBackfillShard({ shard: { index: 1, of: 4 } }, 1), {
    message: /for shard 1 of 4, but SHARDS/,
  });
});
