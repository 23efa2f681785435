import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOtherDivision, otherLocks, placesOf } from '../../lib/state/places.ts';

const settings = (shards: number) => ({ lockKey: '/job/lock', statePrefix: '/job/state/', shards });
const job = (shards: number) => ({ jobLockKey: '/job/lock', jobStatePrefix: '/job/state/', shards });

test('A whole job has the lock and the state of its settings, and so has the only shard of one.', () => {
  const whole = { ...job(1), lockKey: '/job/lock', statePrefix: '/job/state/' };
  assert.deepEqual(placesOf(settings(1)), whole);
  assert.deepEqual(placesOf(settings(1), { index: 0, of: 1 }), whole);
});

test('A shard has a lock and a state of its own, and the job’s own beside them.', () => {
  assert.deepEqual(placesOf(settings(4), { index: 2, of: 4 }), {
    ...job(4),
    lockKey: '/job/lock.shards/2-of-4',
    statePrefix: '/job/state/shards/2-of-4/',
  });
});

/** The number of ranges that hold the key, where the job has so many shards. */
const rangesWith = (key: string, shards: number) =>
  otherLocks(placesOf(settings(shards))).filter(
    (range) =>
      Buffer.compare(Buffer.from(key), range.key) >= 0 && Buffer.compare(Buffer.from(key), range.range_end) < 0,
  ).length;

const ends = ['/0', '/1f', '/7fffffffffffffff', '/z', '/\uffff'];
const locks = [
  '/job/lock',
  ...[2, 3, 10, 12, 20, 100].flatMap((of) =>
    [0, 1, 9, 11].filter((index) => index < of).map((index) => `/job/lock.shards/${index}-of-${of}`),
  ),
];

test('The ranges hold each key under the lock of another division once, and none under a lock of ours.', () => {
  for (const shards of [1, 2, 3, 10, 12, 20, 100]) {
    for (const key of locks.flatMap((lock) => ends.map((end) => lock + end))) {
      const others = isOtherDivision(key, placesOf(settings(shards))) ? 1 : 0;
      assert.equal(rangesWith(key, shards), others, `${key} with ${shards} shards`);
    }
  }
});

test('The ranges hold no key beside the locks.', () => {
  for (const shards of [1, 2, 10]) {
    for (const key of [
      ...['/job/lock', '/job/lock.', '/job/lock0', '/job/locks/1f', '/job/lock-state/run', '/job/state/run'],
      ...['/job/lock.shards', '/job/lock.shards0', '/job/lock.shardsx/0-of-3/1f'],
    ])
      assert.equal(rangesWith(key, shards), 0, `${key} with ${shards} shards`);
  }
});

test('Every range has a beginning before its end, in the order of etcd.', () => {
  for (const shards of [1, 2, 11, 1000]) {
    const ranges = otherLocks(placesOf(settings(shards)));
    assert.equal(ranges.length, shards === 1 ? 1 : shards + 2);
    for (const { key, range_end } of ranges) assert.ok(Buffer.compare(key, range_end) < 0, `${key} to ${range_end}`);
  }
});

test('A key belongs to another division when its number of shards is another one than ours.', () => {
  const others = (shards: number) =>
    ['/job/lock/1f', '/job/lock.shards/0-of-2/1f', '/job/lock.shards/12-of-34/1f'].filter((key) =>
      isOtherDivision(key, placesOf(settings(shards))),
    );
  assert.deepEqual(others(1), ['/job/lock.shards/0-of-2/1f', '/job/lock.shards/12-of-34/1f']);
  assert.deepEqual(others(2), ['/job/lock/1f', '/job/lock.shards/12-of-34/1f']);
  assert.deepEqual(others(34), ['/job/lock/1f', '/job/lock.shards/0-of-2/1f']);
});

test('A key that is no division’s belongs to none.', () => {
  for (const key of [
    '/job/lock.shards/0-of-x/1f',
    '/job/lock.shards/x-of-2/1f',
    '/job/lock.shards/0-of-2',
    '/job/lock.shards/of/0-of-2/1f',
    '/job/lock.shards/x.shards/0-of-2/1f',
    '/job/lock.other/0-of-2/1f',
  ])
    assert.equal(isOtherDivision(key, placesOf(settings(7))), false, key);
});
