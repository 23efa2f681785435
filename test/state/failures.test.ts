import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFailures, RUNS_BEFORE_GIVING_UP } from '../../lib/state/failures.ts';

const MAX_BYTES = 500_000;

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

test('An id that would make the list too long for etcd is refused before it is in the list, not after.', () => {
  // Quotes are two bytes of the JSON, and ä is two bytes of UTF-8.
  const saved = [{ id: 'ä'.repeat(100_000), attempts: 1 }];
  const leftBytes = MAX_BYTES - 200_002;
  const failures = openFailures(saved, 5);
  assert.equal(failures.failed('x'.repeat(leftBytes - 1), 'no', true), false);
  assert.deepEqual(failures.list(false), saved);
  assert.equal(failures.failed('x'.repeat(leftBytes - 2), 'no', true), true);
  assert.equal(failures.failed('y', 'no', true), false);
});

test('The list takes a thousand records and continues from what was saved.', () => {
  const saved = Array.from({ length: 999 }, (_, index) => ({ id: `${index}`, attempts: 1 }));
  const failures = openFailures(saved, 5);
  assert.deepEqual(
    ['a', 'b', '0'].map((id) => failures.failed(id, 'no', true)),
    [true, false, true],
  );
  assert.deepEqual(failures.list(false)[0], { id: '0', attempts: 2, reason: 'no' });
});

test('A failure counts as an attempt where the target was up; a refusal counts in any case.', () => {
  const failures = openFailures(
    ['down', 'refused', 'untried'].map((id) => ({ id, attempts: 1 })),
    5,
  );
  failures.failed('down', 'no answer', false);
  failures.failed('refused', 'the target answered 422', true);
  failures.failed('new', 'no answer', false);
  const attempts = (targetWasUp: boolean) => failures.list(targetWasUp).map((failure) => failure.attempts);
  assert.deepEqual(attempts(false), [1, 2, 1, 0]);
  assert.deepEqual(attempts(true), [2, 2, 1, 1]);
});

test('No record is given up while the target is down, however often it has failed by then.', () => {
  const failures = openFailures([{ id: 'a', attempts: RUNS_BEFORE_GIVING_UP - 1 }], RUNS_BEFORE_GIVING_UP);
  failures.failed('a', 'no answer', false);
  assert.deepEqual(failures.givenUp(false), []);
  assert.deepEqual(failures.givenUp(true), [{ id: 'a', attempts: RUNS_BEFORE_GIVING_UP, reason: 'no answer' }]);
});

test('What is given up names the reason where this run has tried it, and is not due any more.', () => {
  const failures = openFailures(
    [
      { id: 'often', attempts: 2 },
      { id: 'once', attempts: 1 },
      { id: 'before', attempts: 3 },
    ],
    2,
  );
  assert.deepEqual(failures.due(), ['once']);
  failures.failedAgain('once', 'cannot be read');
  assert.deepEqual(failures.givenUp(false), [
    { id: 'often', attempts: 2, reason: undefined },
    { id: 'once', attempts: 2, reason: 'cannot be read' },
    { id: 'before', attempts: 3, reason: undefined },
  ]);
});

test('A record of the list that cannot be read counts whatever the target does, and one outside of it is no business of the list.', () => {
  const failures = openFailures([{ id: 'a', attempts: 1 }], 5);
  failures.failedAgain('a', 'cannot be read');
  failures.failedAgain('b', 'invalid');
  assert.deepEqual(failures.list(false), [{ id: 'a', attempts: 2, reason: 'cannot be read' }]);
  // Only a failed write puts it there, with no attempt of its own so far.
  failures.failed('b', 'no answer', false);
  assert.deepEqual(failures.list(false)[1], { id: 'b', attempts: 0, reason: 'no answer' });
});

test('A record that is written leaves the list, and one that fails again afterwards is a new one.', () => {
  const failures = openFailures([{ id: 'a', attempts: 3 }], 5);
  failures.failed('a', 'no', true);
  failures.done('a');
  failures.done('never heard of');
  assert.deepEqual([failures.list(true), failures.due()], [[], []]);
  failures.failed('a', 'no answer', false);
  assert.deepEqual(failures.list(false), [{ id: 'a', attempts: 0, reason: 'no answer' }]);
});

test('The first hundred records of the list keep why they were not written, in at most 200 bytes, until they are tried again.', () => {
  const first = openFailures([], 5);
  for (let index = 0; index < 101; index++) first.failed(`${index}`, 'ä'.repeat(1000), true);
  const saved = first.list(true);
  assert.ok(saved.slice(0, 100).every(({ reason = '' }) => /^ä+… /.test(reason) && Buffer.byteLength(reason) <= 200));
  assert.deepEqual(saved[100], { id: '100', attempts: 1 });
  const next = openFailures(saved, 5);
  next.done('1');
  next.failed('0', 'the target answered 422', true);
  assert.deepEqual(next.list(true)[0], { id: '0', attempts: 2, reason: 'the target answered 422' });
  assert.deepEqual(next.list(true)[1], saved[2]);
});

test('What leaves the list gives its room back, once.', () => {
  const big = 'x'.repeat(MAX_BYTES - 2);
  const failures = openFailures([{ id: big, attempts: 1 }], 5);
  assert.equal(failures.failed('y', 'no', true), false);
  for (let times = 0; times < 2; times++) failures.done(big);
  assert.equal(failures.failed(big, 'no', true), true);
  assert.equal(failures.failed('y', 'no', true), false);
});
