import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newReport, type SettledPage } from '../../lib/report.ts';
import { openPass } from '../../lib/state/pass-under-way.ts';
import type { Pass } from '../../lib/state/state.ts';

const startedAt = '2026-01-05T12:00:00.000Z';

const begun = (what: Partial<Pass> = {}): Pass => ({
  ...{ runId: 'run-1', startedAt, full: true, fingerprint: 'f', cursor: null, counts: newReport() },
  ...what,
});

const page = (what: Partial<SettledPage> = {}): SettledPage => ({
  ...{ read: 0, written: 0, invalid: 0, failed: 0, missing: 0 },
  ...{ cursor: undefined, last: false, newestMs: Number.NEGATIVE_INFINITY },
  ...what,
});

test('A settled page moves the cursor and adds its counts; the pass that was given stays as it was.', () => {
  const saved = begun();
  const pass = openPass(saved);
  assert.equal(pass.settledPages(), 0);
  pass.pageSettled(page({ cursor: 'b', read: 10, written: 4, invalid: 3, failed: 2, missing: 1 }));
  pass.pageSettled(page({ cursor: 'c', read: 1, written: 1 }));
  const { cursor, counts } = pass.current();
  assert.equal(cursor, 'c');
  assert.deepEqual(counts, { ...newReport(), read: 11, written: 5, invalid: 3, failed: 2, missing: 1, pages: 2 });
  assert.equal(pass.settledPages(), 2);
  assert.deepEqual(saved, begun());
});

test('A page outside of the list leaves the cursor where it is, and the last page of the list ends it.', () => {
  const pass = openPass(begun({ cursor: 'b' }));
  pass.pageSettled(page());
  assert.equal(pass.current().cursor, 'b');
  pass.pageSettled(page({ cursor: 'c', last: true }));
  assert.equal(pass.current().cursor, null);
});

test('The pass knows the newest change of all its pages, in whatever order they come.', () => {
  const pass = openPass(begun());
  const newestAfter = (newestMs: number) => {
    pass.pageSettled(page({ newestMs }));
    return pass.current().newest;
  };
  assert.equal(newestAfter(Number.NEGATIVE_INFINITY), undefined);
  assert.equal(newestAfter(2000), '1970-01-01T00:00:02.000Z');
  assert.equal(newestAfter(1000), '1970-01-01T00:00:02.000Z');
  assert.equal(newestAfter(3000), '1970-01-01T00:00:03.000Z');
  assert.equal(newestAfter(Number.NEGATIVE_INFINITY), '1970-01-01T00:00:03.000Z');
});

test('Of several failures that no list holds, the earliest holds the watermark back.', () => {
  const pass = openPass(begun());
  for (const second of [5, 3, 4]) pass.holdBack(`2026-01-05T11:00:0${second}.000Z`);
  assert.equal(pass.current().holdBack, '2026-01-05T11:00:03.000Z');
  const resumed = openPass(begun({ holdBack: '2026-01-05T10:00:00.000Z' }));
  resumed.holdBack('2026-01-05T11:00:00.000Z');
  assert.equal(resumed.current().holdBack, '2026-01-05T10:00:00.000Z');
});

test('The first clock of the source counts, over all runs of the pass, and an answer without one tells nothing.', () => {
  const pass = openPass(begun());
  for (const clock of [undefined, startedAt, '2026-01-05T12:30:00.000Z']) pass.sourceClock(clock);
  assert.equal(pass.current().sourceClock, startedAt);
  const without = openPass(begun());
  without.sourceClock(undefined);
  assert.ok(!('sourceClock' in without.current()));
});

test('A pass that starts over forgets its cursor and its counts, and keeps its clock and what holds it back.', () => {
  const kept = { since: startedAt, sourceClock: startedAt, holdBack: startedAt };
  const pass = openPass(begun({ ...kept, cursor: 'b', counts: { ...newReport(), read: 9, pages: 1 } }));
  pass.startOver();
  assert.partialDeepStrictEqual(pass.current(), { ...begun(kept), cursor: null, counts: newReport() });
});

test('The end of a run adds its duration, and the highest number of writes in flight counts.', () => {
  const pass = openPass(begun({ counts: { ...newReport(), durationMs: 5, peakInFlight: 7 } }));
  pass.runEnded({ durationMs: 10, peakInFlight: 3 });
  assert.deepEqual(pass.current().counts, { ...newReport(), durationMs: 15, peakInFlight: 7 });
  pass.runEnded({ durationMs: 1, peakInFlight: 8 });
  assert.deepEqual(pass.current().counts, { ...newReport(), durationMs: 16, peakInFlight: 8 });
});
