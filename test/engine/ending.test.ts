import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openEnding } from '../../lib/engine/ending.ts';
import { Interrupted } from '../../lib/errors.ts';

function start() {
  const closing = new AbortController();
  return { closing, ...openEnding(closing) };
}

const deadline = new Interrupted('deadline', 'the reserve is reached');
const throttled = new Interrupted('throttled', 'the target asks for a pause');

test('A run that nothing ended is complete.', () => {
  const { closing, result } = start();
  assert.equal(result(true), 'complete');
  assert.equal(closing.signal.aborted, false);
});

test('An interruption closes the run at once, and its reason is how the run ended.', () => {
  for (const reason of [deadline, throttled]) {
    const { closing, end, result } = start();
    end(reason);
    assert.equal(closing.signal.reason, reason);
    assert.equal(result(false), reason.reason);
  }
});

test('Of several interruptions the first is the reason, whatever comes while the rest drains.', () => {
  for (const [first, later] of [
    [throttled, deadline],
    [deadline, throttled],
  ] as const) {
    const { closing, end, result } = start();
    end(first);
    end(later);
    assert.equal(closing.signal.reason, first);
    assert.equal(result(false), first.reason);
  }
});

test('Of several errors the first is thrown, and an interruption before or after it does not hide it.', () => {
  const [first, later] = [new Error('the lock is lost'), new Error('broken by that')];
  for (const events of [
    [first, later],
    [first, throttled, later],
    [throttled, first, later],
  ]) {
    const { end, result } = start();
    for (const event of events) end(event);
    assert.throws(() => result(false), first);
  }
});

test('Even an error that is no object is thrown.', () => {
  const { end, result } = start();
  end(undefined);
  assert.throws(
    () => result(true),
    (error) => error === undefined,
  );
});

test('A deadline that closed the run from outside is its reason, unless everything was settled by then.', () => {
  for (const [finished, ending] of [
    [false, 'deadline'],
    [true, 'complete'],
  ] as const) {
    const { closing, result } = start();
    closing.abort(deadline);
    assert.equal(result(finished), ending);
  }
});

test('An error that closed the run from outside is thrown, and one that came before it is thrown instead.', () => {
  const lost = new Error('the lock is lost');
  const outside = start();
  outside.closing.abort(lost);
  assert.throws(() => outside.result(false), lost);
  const before = start();
  before.end(new Error('the source is down'));
  assert.throws(() => before.result(false), { message: 'the source is down' });
});
