import assert from 'node:assert/strict';
import { syncBuiltinESMExports } from 'node:module';
import { afterEach, type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createPace } from '../../lib/http/pace.ts';

const never = new AbortController().signal;

afterEach((t) => {
  (t as TestContext).mock.timers.reset();
  syncBuiltinESMExports();
});

/** A pace on a clock that the test steps; timers fire as their time comes. */
function start(t: TestContext, options: Parameters<typeof createPace>[0]) {
  let nowMs = 1_000_000;
  t.mock.timers.enable({ apis: ['setTimeout'] });
  // The pace imports its timer by name, and such a binding sees the mock only then.
  syncBuiltinESMExports();
  t.mock.method(performance, 'now', () => nowMs);
  const pace = createPace(options);
  const begun: string[] = [];
  const allowed: number[] = [];
  pace.onChange = (concurrency) => allowed.push(concurrency);
  return {
    ...{ pace, begun, allowed },
    now: () => nowMs,
    turn(name: string, signal = never) {
      const turn = pace.turn(signal);
      if (turn) return turn.then(() => void begun.push(name));
      begun.push(name);
      return;
    },
    /** Steps the clock, a millisecond at a time, as long waits set several timers. */
    async step(ms: number) {
      for (let passed = 0; passed < ms; passed++) {
        nowMs++;
        t.mock.timers.tick(1);
        await nextTurn();
      }
    },
  };
}

test('Without a limit per second every turn within the concurrency starts at once, and no more than that.', async (t) => {
  const { turn, begun, pace, step } = start(t, { concurrency: 2 });
  turn('a');
  turn('b');
  turn('c');
  await step(1);
  assert.deepEqual(begun, ['a', 'b']);
  pace.over();
  await step(1);
  assert.deepEqual(begun, ['a', 'b', 'c']);
  // A turn that has waited counts as well.
  turn('d');
  await step(1);
  assert.deepEqual(begun, ['a', 'b', 'c']);
});

test('A turn that is over lets one waiting turn start, in their order.', async (t) => {
  const { turn, begun, pace, step } = start(t, { concurrency: 1 });
  for (const name of ['a', 'b', 'c']) turn(name);
  await step(1);
  for (const expected of ['ab', 'abc']) {
    pace.over();
    await step(1);
    assert.equal(begun.join(''), expected);
  }
});

test('With a limit per second turns start that far apart, and an idle second does not add up.', async (t) => {
  const { turn, begun, step } = start(t, { concurrency: 50, perSecond: 100 });
  for (const name of ['a', 'b', 'c']) turn(name);
  assert.deepEqual(begun, ['a']);
  await step(9);
  assert.deepEqual(begun, ['a']);
  await step(1);
  assert.deepEqual(begun, ['a', 'b']);
  await step(10);
  assert.deepEqual(begun, ['a', 'b', 'c']);
  await step(1000);
  turn('d');
  turn('e');
  assert.equal(begun.join(''), 'abcd');
  await step(10);
  assert.equal(begun.join(''), 'abcde');
});

test('A turn waits a millisecond, and no shorter time.', async (t) => {
  const { turn, begun, step } = start(t, { concurrency: 50, perSecond: 1000 });
  for (const name of ['a', 'b']) turn(name);
  assert.deepEqual(begun, ['a']);
  await step(1);
  assert.deepEqual(begun, ['a', 'b']);
});

test('A turn that did not wait for a part of a millisecond makes the next one wait longer.', async (t) => {
  const { turn, begun, step } = start(t, { concurrency: 50, perSecond: 1500 });
  for (const name of ['a', 'b', 'c']) turn(name);
  assert.deepEqual(begun, ['a', 'b']);
  await step(2);
  assert.deepEqual(begun, ['a', 'b', 'c']);
});

test('A shorter Retry-After does not shorten a longer pause, and a longer one lengthens it.', async (t) => {
  const { turn, begun, pace, step, now } = start(t, { concurrency: 8 });
  pace.throttled(now(), 1000);
  pace.throttled(now(), 10);
  turn('a');
  await step(999);
  assert.deepEqual(begun, []);
  await step(1);
  assert.deepEqual(begun, ['a']);
  pace.over();
  pace.throttled(now(), 100);
  turn('b');
  await step(50);
  pace.throttled(now(), 100);
  await step(99);
  assert.deepEqual(begun, ['a']);
  await step(1);
  assert.deepEqual(begun, ['a', 'b']);
});

test('Turns that a pause has held do not start at once behind it, where there is a limit per second.', async (t) => {
  const { turn, begun, pace, step, now } = start(t, { concurrency: 8, perSecond: 100 });
  pace.throttled(now(), 20);
  for (const name of ['a', 'b']) turn(name);
  // The pause grows while they wait.
  await step(10);
  pace.throttled(now(), 50);
  await step(49);
  assert.deepEqual(begun, []);
  await step(1);
  assert.deepEqual(begun, ['a']);
  await step(9);
  assert.deepEqual(begun, ['a']);
  await step(1);
  assert.deepEqual(begun, ['a', 'b']);
});

test('An abort ends a wait with its own reason, for the next moment as for the end of another turn.', async (t) => {
  const { turn, pace, now, step } = start(t, { concurrency: 1 });
  const stop = new AbortController();
  turn('a');
  const crowded = turn('b', stop.signal);
  pace.throttled(now(), 1000);
  const paused = turn('c', stop.signal);
  await step(1);
  const ended = Promise.allSettled([crowded, paused]);
  stop.abort(new Error('enough'));
  for (const outcome of await ended) assert.equal(outcome.status === 'rejected' && outcome.reason.message, 'enough');
});

test('The first throttling pauses, the next one halves the limit, and the limit ends at one.', (t) => {
  const { pace, allowed, now } = start(t, { concurrency: 9 });
  const throttle = () => pace.throttled(now(), 0);
  throttle();
  assert.deepEqual(allowed, []);
  for (let times = 0; times < 5; times++) throttle();
  assert.deepEqual(allowed, [4, 2, 1]);
});

test('A request that was in flight at the last throttling says nothing new about the limit.', async (t) => {
  const { pace, allowed, now, step } = start(t, { concurrency: 8 });
  const before = now();
  await step(1);
  pace.throttled(now(), 0);
  pace.throttled(before, 0);
  assert.deepEqual(allowed, []);
  pace.throttled(now(), 0);
  assert.deepEqual(allowed, [4]);
});

test('As many successes as the limit raise it by one; at the full limit they end the probation.', (t) => {
  const { pace, allowed, now } = start(t, { concurrency: 4 });
  const succeed = (times: number) => {
    for (let done = 0; done < times; done++) pace.succeeded();
  };
  const throttle = () => pace.throttled(now(), 0);
  throttle();
  throttle();
  assert.deepEqual(allowed, [2]);
  succeed(1);
  assert.deepEqual(allowed, [2]);
  succeed(1);
  assert.deepEqual(allowed, [2, 3]);
  // A throttling takes back what was counted.
  succeed(2);
  throttle();
  assert.deepEqual(allowed, [2, 3, 1]);
  succeed(1);
  succeed(2);
  succeed(3);
  assert.deepEqual(allowed, [2, 3, 1, 2, 3, 4]);
  succeed(3);
  throttle();
  assert.deepEqual(allowed.slice(6), [2]);
  succeed(2 + 3 + 4);
  assert.deepEqual(allowed.slice(6), [2, 3, 4]);
  // The probation is over, so a throttling pauses only.
  throttle();
  assert.deepEqual(allowed.slice(6), [2, 3, 4]);
});

test('A limit that has risen lets a waiting turn start, and one that has fallen holds new ones.', async (t) => {
  const { pace, turn, begun, step, now } = start(t, { concurrency: 4 });
  for (const name of ['a', 'b', 'c']) turn(name);
  pace.throttled(now(), 0);
  pace.throttled(now(), 0);
  turn('d');
  turn('e');
  await step(1);
  assert.equal(begun.join(''), 'abc');
  pace.over();
  await step(1);
  assert.equal(begun.join(''), 'abc');
  // Two are in flight; the limit of 2 rises to 3.
  pace.succeeded();
  pace.succeeded();
  await step(1);
  assert.equal(begun.join(''), 'abcd');
  pace.over();
  await step(1);
  assert.equal(begun.join(''), 'abcde');
});

test('A server has taken nothing since the first throttling, as long as no request succeeds.', async (t) => {
  const { pace, now, step } = start(t, { concurrency: 8 });
  const startedMs = now();
  assert.equal(pace.throttled(startedMs, 0), 0);
  await step(40);
  assert.equal(pace.throttled(now(), 0), 40);
  pace.succeeded();
  await step(1);
  // Another request was taken since this one started.
  assert.equal(pace.throttled(startedMs, 0), 0);
  assert.equal(pace.throttled(now(), 0), 0);
  await step(30);
  assert.equal(pace.throttled(now(), 0), 30);
});

test('A success at the very moment at which a refused request started means that the server takes others.', async (t) => {
  const { pace, now, step } = start(t, { concurrency: 8 });
  pace.throttled(now(), 0);
  await step(5);
  pace.succeeded();
  const startedMs = now();
  pace.throttled(startedMs, 0);
  await step(5);
  assert.equal(pace.throttled(startedMs, 0), 0);
});

test('The time without success begins anew when no request was sent for more than 5 s, a pause not counted.', async (t) => {
  const { pace, now, step } = start(t, { concurrency: 8 });
  pace.throttled(now(), 0);
  await step(5000);
  assert.equal(pace.throttled(now(), 0), 5000);
  await step(5001);
  assert.equal(pace.throttled(now(), 0), 0);
  pace.throttled(now(), 3000);
  await step(8000);
  assert.equal(pace.throttled(now(), 0), 8000);
});

test('During a rest turns wait, the longest one counts, and the limit stays.', async (t) => {
  const { turn, begun, allowed, pace, step } = start(t, { concurrency: 2 });
  for (const ms of [20, 50, 30]) pace.rest(ms);
  turn('a');
  turn('b');
  await step(49);
  assert.deepEqual(begun, []);
  // One that is told while they wait, as by a request in flight, makes them wait longer.
  pace.rest(10);
  await step(9);
  assert.deepEqual(begun, []);
  await step(1);
  assert.deepEqual([begun, allowed], [['a', 'b'], []]);
});

test('An end refuses each turn with its first reason: later ones at once, those that wait as their time comes.', async (t) => {
  const { turn, begun, pace, step } = start(t, { concurrency: 1 });
  turn('a');
  const waiting = turn('b');
  const reason = new Error('the quota is spent');
  pace.end(reason);
  pace.end(new Error('another one'));
  await assert.rejects(Promise.resolve(waiting), reason);
  assert.throws(() => turn('c'), reason);
  pace.over();
  await step(1);
  assert.deepEqual(begun, ['a']);
});
