import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFailures } from '../../lib/state/failures.ts';

test('The list of failed records stays small enough for etcd, however long their ids are, and has room again once some are written.', () => {
  const failures = openFailures([], 5);
  const id = (index: number) => `${index}-${'\u0001'.repeat(5000)}`;
  const taken = Array.from({ length: 1000 }, (_, index) => failures.failed(id(index), 'no', true));
  assert.ok(taken.includes(false));
  assert.ok(JSON.stringify(failures.list(true)).length < 600_000);
  assert.equal(failures.failed(id(0), 'again', true), true);
  failures.done(id(0));
  assert.equal(failures.failed(id(2000), 'no', true), true);
  assert.equal(failures.failed(id(2001), 'no', true), false);
});

test('The list takes a thousand records and continues from what was saved.', () => {
  const saved = Array.from({ length: 999 }, (_, index) => ({ id: `${index}`, attempts: 1 }));
  const failures = openFailures(saved, 5);
  assert.deepEqual(
    ['a', 'b', '0'].map((id) => failures.failed(id, 'no', true)),
    [true, false, true],
  );
  assert.deepEqual(failures.list(false)[0], { id: '0', attempts: 2 });
});
