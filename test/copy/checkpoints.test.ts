import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { keepCheckpoints } from '../../lib/copy/checkpoints.ts';
import type { SettledPage } from '../../lib/report.ts';

const page = (last = false): SettledPage => ({
  ...{ read: 1, written: 1, unchanged: 0, removed: 0, invalid: 0, failed: 0, missing: 0 },
  ...{ newestMs: 0, oldestMs: 0, ordered: true, rises: 1 },
  ...{ cursor: last ? undefined : 'next', last },
});

/** Checkpoints whose saves end when the test says so, on a clock that the test steps. */
function start(t: TestContext, eachPage = false) {
  const clock = { nowMs: 1_000_000 };
  t.mock.method(performance, 'now', () => clock.nowMs);
  const saves: PromiseWithResolvers<void>[] = [];
  const checkpoints = keepCheckpoints({
    eachPage,
    save() {
      const save = Promise.withResolvers<void>();
      saves.push(save);
      return save.promise;
    },
  });
  const settle = (pages: number) => {
    for (let settled = 0; settled < pages; settled++) checkpoints.pageSettled(page());
  };
  return { clock, saves, checkpoints, settle };
}

test('A checkpoint is saved at every fourth page, or at the first one 5 s after the last save.', async (t) => {
  const { clock, saves, checkpoints, settle } = start(t);
  settle(3);
  assert.equal(saves.length, 0);
  settle(1);
  assert.equal(saves.length, 1);
  saves[0]?.resolve();
  await checkpoints.saved();
  settle(3);
  assert.equal(saves.length, 1);
  clock.nowMs += 4999;
  // The fourth page; from here on the time counts.
  settle(1);
  saves[1]?.resolve();
  await checkpoints.saved();
  clock.nowMs += 4999;
  settle(1);
  assert.equal(saves.length, 2);
  clock.nowMs += 1;
  settle(1);
  assert.equal(saves.length, 3);
});

test('The last page is not saved: a checkpoint behind it would read the window from its beginning again.', (t) => {
  const { clock, saves, checkpoints, settle } = start(t);
  settle(3);
  clock.nowMs += 60_000;
  checkpoints.pageSettled(page(true));
  assert.equal(saves.length, 0);
});

test('One save is under way at a time, and the end of the run waits for it.', async (t) => {
  const { saves, checkpoints, settle } = start(t);
  settle(12);
  assert.equal(saves.length, 1);
  const order: string[] = [];
  const saved = checkpoints.saved().then(() => order.push('saved'));
  order.push('before');
  saves[0]?.resolve();
  await saved;
  assert.deepEqual(order, ['before', 'saved']);
  settle(1);
  assert.equal(saves.length, 2);
});

test('A save that fails is told by the signal, with its error, and does not throw.', async (t) => {
  const { saves, checkpoints, settle } = start(t);
  settle(4);
  assert.equal(checkpoints.saveFailed.aborted, false);
  const error = new Error('etcd is full');
  saves[0]?.reject(error);
  await checkpoints.saved();
  assert.equal(checkpoints.saveFailed.reason, error);
});
