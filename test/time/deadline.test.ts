import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { type TestContext, test } from 'node:test';
import { setDeadline } from '../../lib/time/deadline.ts';

/** A deadline of 60 s with a reserve of 10 s, on a clock that the test steps. */
function start(t: TestContext, stop = new AbortController()) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const deadline = setDeadline({ remainingMs: 60_000, reserveSeconds: 10, stop: stop.signal });
  return { deadline, stop, fired: () => [deadline.closing.aborted, deadline.cut.aborted] };
}

test('A run closes when the reserve is reached, and is cut when half of it is used up.', (t) => {
  const { deadline, fired } = start(t);
  using _ = deadline;
  t.mock.timers.tick(49_999);
  assert.deepEqual(fired(), [false, false]);
  t.mock.timers.tick(1);
  assert.deepEqual(fired(), [true, false]);
  t.mock.timers.tick(4999);
  assert.deepEqual(fired(), [true, false]);
  t.mock.timers.tick(1);
  assert.deepEqual(fired(), [true, true]);
  for (const { reason } of [deadline.closing, deadline.cut]) {
    assert.deepEqual([reason.name, reason.reason], ['Interrupted', 'deadline']);
  }
});

test('A process that is asked to end closes at once, has half the reserve until the cut, and the other half to unlock.', (t) => {
  const { deadline, stop, fired } = start(t);
  using _ = deadline;
  t.mock.timers.tick(1000);
  assert.ok(deadline.endsInMs() > 50_000);
  stop.abort();
  assert.deepEqual(fired(), [true, false]);
  // Otherwise it would wait for a silent etcd until the invocation's own end.
  assert.ok(deadline.endsInMs() <= 10_000);
  t.mock.timers.tick(4999);
  assert.deepEqual(fired(), [true, false]);
  t.mock.timers.tick(1);
  assert.deepEqual(fired(), [true, true]);
});

test('A process that was asked to end before the run began closes at once.', (t) => {
  const { deadline, fired } = start(t, abortedController());
  using _ = deadline;
  assert.deepEqual(fired(), [true, false]);
});

test('A deadline that is disposed of leaves no timer and no listener.', (t) => {
  const { deadline, stop, fired } = start(t);
  stop.signal.throwIfAborted();
  deadline[Symbol.dispose]();
  t.mock.timers.tick(60_000);
  stop.abort();
  assert.deepEqual(fired(), [false, false]);
  assert.equal(getEventListeners(stop.signal, 'abort').length, 0);
});

test('A time-out that is not above the reserve is a SettingsError that names both.', () => {
  const stop = new AbortController().signal;
  for (const remainingMs of [3000, 10_000]) {
    assert.throws(() => setDeadline({ remainingMs, reserveSeconds: 10, stop }), {
      name: 'SettingsError',
      message: new RegExp(`DEADLINE_RESERVE_SECONDS is 10, .* has only ${remainingMs / 1000} s`),
    });
  }
});

function abortedController() {
  const stop = new AbortController();
  stop.abort();
  return stop;
}
