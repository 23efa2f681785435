import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { openLanes } from '../../lib/engine/lanes.ts';

/** Lanes whose works end when the test says so. */
function start(concurrency: number) {
  const stop = new AbortController();
  const failures: unknown[] = [];
  const lanes = openLanes({ concurrency, signal: stop.signal, failed: (error) => failures.push(error) });
  const works = new Map<string, PromiseWithResolvers<void>>();
  let inFlight = 0;
  const work = async (item: string) => {
    const own = Promise.withResolvers<void>();
    works.set(item, own);
    inFlight++;
    await own.promise.finally(() => inFlight--);
  };
  const finish = async (...items: string[]) => {
    for (const item of items) works.get(item)?.resolve();
    await nextTurn();
  };
  return {
    stop,
    failures,
    lanes,
    works,
    work,
    finish,
    taken: () => [...works.keys()].join(''),
    inFlight: () => inFlight,
  };
}

const items = (letters: string) => letters.split('');

/** What a promise has come to by now. */
async function stateOf(promise: Promise<unknown>) {
  return await Promise.race([promise.then((value) => ({ value })), nextTurn('waits')]);
}

test('Lanes take items in their order, as many at a time as there are lanes, and the next when one is done.', async () => {
  const { failures, lanes, work, finish, taken, inFlight } = start(2);
  // Nothing is taken before something is offered.
  await nextTurn();
  const offered = lanes.offer(items('abc'), work);
  assert.equal(await stateOf(offered), 'waits');
  assert.deepEqual([taken(), inFlight()], ['ab', 2]);
  await finish('b');
  assert.deepEqual([taken(), inFlight()], ['abc', 2]);
  // All are taken, so the next page may come, although not all are done.
  assert.deepEqual(await stateOf(offered), { value: 0 });
  await finish('a', 'c');
  await lanes.end();
  assert.deepEqual(failures, []);
});

test('Lanes that are idle take what is offered later, and those that are free take it beside what is in flight.', async () => {
  const { lanes, work, finish, taken } = start(3);
  assert.equal(await lanes.offer([], work), 0);
  assert.equal(await lanes.offer(items('a'), work), 0);
  assert.equal(await lanes.offer(items('bc'), work), 0);
  assert.equal(taken(), 'abc');
  await finish('a', 'b', 'c');
  assert.equal(await lanes.offer(items('d'), work), 0);
  assert.equal(taken(), 'abcd');
  await finish('d');
  await lanes.end();
});

test('The end waits for what is in flight, and leaves no listener.', async () => {
  const { stop, lanes, work, finish } = start(2);
  await lanes.offer(items('a'), work);
  assert.equal(getEventListeners(stop.signal, 'abort').length, 1);
  const ended = lanes.end().then(() => 'ended');
  assert.equal(await stateOf(ended), 'waits');
  await finish('a');
  assert.deepEqual(await stateOf(ended), { value: 'ended' });
  assert.equal(getEventListeners(stop.signal, 'abort').length, 0);
});

test('An abort leaves the items that no lane has taken, and nothing is taken any more.', async () => {
  const { stop, lanes, work, finish, taken } = start(2);
  const offered = lanes.offer(items('abcde'), work);
  await nextTurn();
  stop.abort();
  assert.deepEqual(await stateOf(offered), { value: 3 });
  await finish('a');
  assert.equal(taken(), 'ab');
  assert.equal(await lanes.offer(items('xy'), work), 2);
  const ended = lanes.end().then(() => 'ended');
  assert.equal(await stateOf(ended), 'waits');
  await finish('b');
  assert.deepEqual(await stateOf(ended), { value: 'ended' });
});

test('An abort ends lanes that are idle.', async () => {
  const { stop, lanes } = start(2);
  await nextTurn();
  stop.abort();
  assert.deepEqual(await stateOf(lanes.end().then(() => 'ended')), { value: 'ended' });
});

test('What a work throws is told, and its lane takes the next item.', async () => {
  const { failures, lanes, works, work, finish, taken } = start(1);
  const offered = lanes.offer(items('ab'), work);
  await nextTurn();
  const error = new Error('the target is down');
  works.get('a')?.reject(error);
  await offered;
  assert.deepEqual([failures, taken()], [[error], 'ab']);
  await finish('b');
  await lanes.end();
});

test('A limit that falls parks lanes when they are done, and one that rises wakes them.', async () => {
  const { lanes, work, finish, taken, inFlight } = start(3);
  const offered = lanes.offer(items('abcdefgh'), work);
  await nextTurn();
  lanes.allow(1);
  await finish('a');
  assert.deepEqual([taken(), inFlight()], ['abc', 2]);
  await finish('b');
  assert.deepEqual([taken(), inFlight()], ['abc', 1]);
  await finish('c');
  assert.deepEqual([taken(), inFlight()], ['abcd', 1]);
  lanes.allow(3);
  await nextTurn();
  assert.deepEqual([taken(), inFlight()], ['abcdef', 3]);
  await finish('d', 'e', 'f', 'g', 'h');
  await finish('g', 'h');
  await offered;
  await lanes.end();
});

test('Lanes that are parked end with the others.', async () => {
  const { lanes, work, finish } = start(3);
  await lanes.offer(items('abc'), work);
  lanes.allow(1);
  await finish('a', 'b');
  const ended = lanes.end().then(() => 'ended');
  assert.equal(await stateOf(ended), 'waits');
  await finish('c');
  assert.deepEqual(await stateOf(ended), { value: 'ended' });
});
