import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { openTurns } from '../../lib/engine/turns.ts';

/** Work that says when it begins, and ends when the test says so. */
function start() {
  const inTurn = openTurns();
  const begun: string[] = [];
  const works = new Map<string, PromiseWithResolvers<void>>();
  const run = (id: string, name: string) =>
    inTurn([id], () => {
      begun.push(name);
      const work = Promise.withResolvers<void>();
      works.set(name, work);
      return work.promise;
    });
  return { run, begun, works };
}

test('Works of the same id begin one after the other, in the order of their calls; other ids do not wait.', async () => {
  const { run, begun, works } = start();
  const all = [run('a', 'a1'), run('a', 'a2'), run('a', 'a3'), run('b', 'b1')];
  await nextTurn();
  assert.deepEqual(begun, ['a1', 'b1']);
  works.get('a1')?.resolve();
  await nextTurn();
  assert.deepEqual(begun, ['a1', 'b1', 'a2']);
  works.get('a2')?.resolve();
  await nextTurn();
  assert.deepEqual(begun, ['a1', 'b1', 'a2', 'a3']);
  for (const work of works.values()) work.resolve();
  await Promise.all(all);
});

test('Work that fails gives the turn on, and its error goes to its own caller.', async () => {
  const { run, begun, works } = start();
  const first = run('a', 'a1');
  const second = run('a', 'a2');
  works.get('a1')?.reject(new Error('refused'));
  await assert.rejects(first, { message: 'refused' });
  await nextTurn();
  assert.deepEqual(begun, ['a1', 'a2']);
  works.get('a2')?.resolve();
  await second;
});

test('Work for an id whose last work is over begins at once, and what comes meanwhile waits for the new one.', async () => {
  const { run, begun, works } = start();
  const first = run('a', 'a1');
  works.get('a1')?.resolve();
  await first;
  const second = run('a', 'a2');
  // At once: not even a turn of the loop later.
  assert.deepEqual(begun, ['a1', 'a2']);
  const third = run('a', 'a3');
  await nextTurn();
  assert.deepEqual(begun, ['a1', 'a2']);
  works.get('a2')?.resolve();
  await second;
  works.get('a3')?.resolve();
  await third;
});

test('The end of an earlier work does not let a third one overtake the second.', async () => {
  const { run, begun, works } = start();
  const first = run('a', 'a1');
  const second = run('a', 'a2');
  works.get('a1')?.resolve();
  await first;
  await nextTurn();
  const third = run('a', 'a3');
  await nextTurn();
  assert.deepEqual(begun, ['a1', 'a2']);
  works.get('a2')?.resolve();
  await second;
  await nextTurn();
  works.get('a3')?.resolve();
  await third;
});

test('Ids that are not under way cost no memory: the map holds none of them.', async (t) => {
  const set = t.mock.method(Map.prototype, 'set');
  const inTurn = openTurns();
  for (const id of ['a', 'b', 'b']) await inTurn([id], async () => {});
  await Promise.all(['c', 'c'].map((id) => inTurn([id], async () => {})));
  const maps = new Set(set.mock.calls.filter(({ arguments: [id] }) => /^[abc]$/.test(id)).map((call) => call.this));
  assert.equal(maps.size, 1);
  for (const map of maps) assert.equal((map as Map<string, unknown>).size, 0);
});

test('Work on several ids waits for the work on each of them, and what follows waits for it.', async () => {
  const inTurn = openTurns();
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const run = (name: string, ids: string[]) =>
    inTurn(ids, () => {
      begun.push(name);
      return new Promise<void>((resolve) => ends.set(name, resolve));
    });
  const all = [
    run('a', ['a']),
    run('b', ['b']),
    run('ab', ['a', 'b', 'c']),
    run('then b', ['b']),
    run('then c', ['c']),
  ];
  for (const [ended, expected] of [
    ['b', ['a', 'b']],
    ['a', ['a', 'b', 'ab']],
    ['ab', ['a', 'b', 'ab', 'then b', 'then c']],
  ] as const) {
    ends.get(ended)?.();
    await nextTurn();
    assert.deepEqual(begun.slice(0, expected.length), expected);
  }
  for (const end of ends.values()) end();
  await Promise.all(all);
});
