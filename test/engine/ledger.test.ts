import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openLedger } from '../../lib/engine/ledger.ts';
import { newReport, type SettledPage } from '../../lib/report.ts';

function start() {
  const report = newReport();
  const settled: SettledPage[] = [];
  return { report, settled, ...openLedger(report, (page) => settled.push(page)) };
}

const page = (records: number, cursor = 'next') => ({ records, missing: 0, cursor, last: false });

test('A page that is opened is counted at once, with the records that the source does not know.', () => {
  const { report, settled, open } = start();
  open({ records: 3, missing: 1, cursor: 'b', last: false });
  open({ records: 4, missing: 2, last: true });
  assert.deepEqual(report, { ...newReport(), pages: 2, read: 7, missing: 3 });
  assert.deepEqual(settled, []);
});

test('A page settles with the last of its records, and says what became of them.', () => {
  const { report, settled, open, settle, takenWhole } = start();
  const first = open({ records: 4, missing: 1, cursor: 'b', last: true });
  takenWhole(first);
  for (const as of ['written', 'written', 'invalid'] as const) settle(first, as);
  assert.deepEqual(settled, []);
  first.newestMs = 1000;
  settle(first, 'failed');
  assert.equal(settled[0], first);
  assert.deepEqual(first, {
    ...{ read: 4, written: 2, unchanged: 0, removed: 0, invalid: 1, failed: 1, missing: 1, unsettled: 0 },
    ...{ cursor: 'b', last: true, newestMs: 1000, oldestMs: Number.POSITIVE_INFINITY, ordered: true, rises: 0 },
  });
  assert.deepEqual(report, { ...newReport(), pages: 1, read: 4, written: 2, invalid: 1, failed: 1, missing: 1 });
});

test('A page knows whether its records are in the order of their changes, and how often one changed later than all before.', () => {
  const { open, note } = start();
  const noted = (...times: number[]) => {
    const one = open(page(times.length));
    for (const ms of times) note(one, ms);
    return [one.ordered, one.rises, one.oldestMs, one.newestMs];
  };
  assert.deepEqual(noted(1, 1, 5, 5, 9), [true, 3, 1, 9]);
  assert.deepEqual(noted(5, 1, 5, 6), [false, 2, 1, 6]);
  // A record without a time is in no order.
  assert.deepEqual(noted(1, Number.NaN, 2), [false, 2, 1, 2]);
});

test('A page of which the lanes have not taken all does not settle, nor do the pages behind it.', () => {
  const { settled, open, settle, takenWhole } = start();
  const first = open(page(1, 'b'));
  const second = open(page(0, 'c'));
  assert.equal(first.newestMs, Number.NEGATIVE_INFINITY);
  takenWhole(second);
  settle(first, 'written');
  assert.deepEqual(settled, []);
  takenWhole(first);
  assert.deepEqual(
    settled.map(({ cursor }) => cursor),
    ['b', 'c'],
  );
});

test('Records of a page that cannot be read are read and failed, and their page does not wait for them.', () => {
  const { report, settled, open, settle, takenWhole } = start();
  const first = open({ ...page(1), unreadable: 2 });
  takenWhole(first);
  settle(first, 'unchanged');
  const counts = { read: 3, unchanged: 1, failed: 2 };
  assert.deepEqual(report, { ...newReport(), pages: 1, ...counts });
  assert.partialDeepStrictEqual(first, { ...counts, written: 0, missing: 0 });
  assert.deepEqual(settled, [first]);
});

test('A record that is left out settles, but counts as outside instead of read.', () => {
  const { report, settled, open, leaveOut, settle, takenWhole } = start();
  const first = open(page(3));
  takenWhole(first);
  leaveOut(first);
  settle(first, 'removed');
  assert.deepEqual(settled, []);
  leaveOut(first);
  assert.deepEqual(report, { ...newReport(), pages: 1, read: 1, removed: 1, outside: 2 });
  assert.partialDeepStrictEqual(first, { read: 1, removed: 1, outside: 2 });
  assert.deepEqual(settled, [first]);
});

test('Pages settle in the order in which they were opened, whichever is finished first.', () => {
  const { settled, open, settle, takenWhole } = start();
  const pages = ['b', 'c', 'd'].map((cursor) => open(page(1, cursor)));
  for (const one of pages) takenWhole(one);
  const cursors = () => settled.map(({ cursor }) => cursor);
  settle(pages[1]!, 'written');
  assert.deepEqual(cursors(), []);
  settle(pages[0]!, 'written');
  assert.deepEqual(cursors(), ['b', 'c']);
  settle(pages[2]!, 'written');
  assert.deepEqual(cursors(), ['b', 'c', 'd']);
});

test('Records that are left are unsettled, and their page does not settle.', () => {
  const { report, settled, open, settle, takenWhole, leave } = start();
  const first = open(page(3));
  takenWhole(first);
  settle(first, 'written');
  leave(2);
  leave(1);
  assert.deepEqual([report.unsettled, settled], [3, []]);
});
