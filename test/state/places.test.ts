import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allLocks, isOtherDivision, placesOf } from '../../lib/state/places.ts';

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

test('One range holds the keys under the locks of all divisions, and no others.', () => {
  const range = allLocks(placesOf(settings(2)));
  const holds = (key: string) =>
    Buffer.compare(Buffer.from(key), range.key) >= 0 && Buffer.compare(Buffer.from(key), range.range_end) < 0;
  for (const key of ['/job/lock/1f', '/job/lock.shards/0-of-2/1f', '/job/lock.shards/999-of-1000/z'])
    assert.ok(holds(key), key);
  for (const key of ['/job/lock', '/job/lock.', '/job/lock0', '/job/locks/1f', '/job/lock-state/run', '/job/state/run'])
    assert.ok(!holds(key), key);
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
    '/job/lock.other/0-of-2/1f',
  ])
    assert.equal(isOtherDivision(key, placesOf(settings(7))), false, key);
});
