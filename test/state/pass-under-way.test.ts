import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newReport, type SettledPage } from '../../lib/report.ts';
import { openPass as openWith, type PassUnderWay } from '../../lib/state/pass-under-way.ts';
import type { Pass } from '../../lib/state/schemas.ts';

const startedAt = '2026-01-05T12:00:00.000Z';

const OVERLAP_SECONDS = 60;
const openPass = (pass: Pass) => openWith(pass, OVERLAP_SECONDS);

const begun = (what: Partial<Pass> = {}): Pass => ({
  ...{ runId: 'run-1', startedAt, full: true, fingerprint: 'f', cursor: null, counts: newReport() },
  ...what,
});

const page = (what: Partial<SettledPage> = {}): SettledPage => ({
  ...{
    read: 0,
    written: 0,
    unchanged: 0,
    removed: 0,
    invalid: 0,
    failed: 0,
    missing: 0,
    cursor: undefined,
    last: false,
  },
  ...{ newestMs: Number.NEGATIVE_INFINITY, oldestMs: Number.POSITIVE_INFINITY, ordered: true, rises: 0 },
  ...what,
});

test('A settled page moves the cursor and adds its counts; the pass that was given stays as it was.', () => {
  const saved = begun();
  const pass = openPass(saved);
  assert.equal(pass.settledPages(), 0);
  pass.pageSettled(
    page({ cursor: 'b', read: 15, written: 4, unchanged: 5, removed: 6, invalid: 3, failed: 2, missing: 1 }),
  );
  pass.pageSettled(page({ cursor: 'c', read: 1, written: 1 }));
  const { cursor, counts } = pass.current();
  assert.equal(cursor, 'c');
  assert.deepEqual(counts, {
    ...newReport(),
    ...{ read: 16, written: 5, unchanged: 5, removed: 6, invalid: 3, failed: 2, missing: 1, pages: 2 },
  });
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

test('Of records that have changed, the last ones are kept, at most a thousand; the pass that was given stays as it was.', () => {
  const saved = begun({ changes: { first: [1, 7], second: [1, 7] } });
  const pass = openPass(saved);
  pass.changed('first', { count: 2, content: 8 });
  assert.deepEqual(Object.entries(pass.current().changes ?? {}), [
    ['second', [1, 7]],
    ['first', [2, 8]],
  ]);
  assert.deepEqual(saved.changes, { first: [1, 7], second: [1, 7] });
  for (let index = 0; index < 998; index++) pass.changed(`id ${index}`, { count: 1, content: 7 });
  assert.equal(Object.keys(pass.current().changes ?? {}).length, 1000);
  pass.changed('id 0', { count: 2, content: 8 });
  assert.equal(Object.keys(pass.current().changes ?? {}).length, 1000);
  pass.changed('last', { count: 1, content: 7 });
  const kept = Object.entries(pass.current().changes ?? {});
  assert.deepEqual([kept.length, kept.at(-2), kept.at(-1)], [500, ['id 0', [2, 8]], ['last', [1, 7]]]);
  for (let index = 0; index < 500; index++) pass.changed(`new ${index}`, { count: 1, content: 7 });
  assert.equal(Object.keys(pass.current().changes ?? {}).length, 1000);
  pass.startOver();
  assert.equal(Object.keys(pass.current().changes ?? {}).length, 1000);
});

test('The end of a run adds its duration, and the highest number of writes in flight counts.', () => {
  const pass = openPass(begun({ counts: { ...newReport(), durationMs: 5, peakInFlight: 7 } }));
  pass.runEnded({ durationMs: 10, peakInFlight: 3 });
  assert.deepEqual(pass.current().counts, { ...newReport(), durationMs: 15, peakInFlight: 7 });
  pass.runEnded({ durationMs: 1, peakInFlight: 8 });
  assert.deepEqual(pass.current().counts, { ...newReport(), durationMs: 16, peakInFlight: 8 });
});

/** A pass as `beginPass` begins it, before it has settled anything. */
const fresh = (what: Partial<Pass> = {}) => begun({ listed: { ordered: true, rises: 0, read: 0 }, ...what });

/** A moment of the day on which the pass began. */
const at = (time: string) => `2026-01-05T${time}.000Z`;

/** A page of the list with records that changed from `oldest` to `newest`. */
const listPage = (oldest: string, newest: string, what: Partial<SettledPage> = {}) =>
  page({
    read: 10,
    rises: 11,
    cursor: 'next',
    oldestMs: Date.parse(at(oldest)),
    newestMs: Date.parse(at(newest)),
    ...what,
  });

const ordered = (pass: PassUnderWay) => pass.current().listed?.ordered;

test('The pass knows how much of the list is settled, its newest change, and that each page began where the last one ended.', () => {
  const pass = openPass(fresh());
  pass.pageSettled(listPage('08:00:00', '09:00:00'));
  // A record of the next page that changed at the same moment as the last of this one is in order.
  pass.pageSettled(listPage('09:00:00', '10:00:00'));
  // A page whose records are all those of another shard tells nothing.
  pass.pageSettled(page({ cursor: 'next' }));
  pass.pageSettled(listPage('10:00:01', '11:00:00', { cursor: undefined, last: true }));
  assert.partialDeepStrictEqual(pass.current().listed, { ordered: true, newest: at('11:00:00'), read: 30 });
});

test('A page that begins before the one before it ended makes the list unordered for the rest of the pass.', () => {
  const pass = openPass(fresh());
  pass.pageSettled(listPage('08:00:00', '09:00:00'));
  pass.pageSettled(listPage('08:59:59', '10:00:00'));
  assert.equal(ordered(pass), false);
  pass.pageSettled(listPage('11:00:00', '12:00:00'));
  assert.partialDeepStrictEqual(pass.current().listed, { ordered: false, newest: at('12:00:00'), read: 30 });
});

test('A page whose own records are not in order makes the list unordered.', () => {
  const pass = openPass(fresh());
  pass.pageSettled(listPage('08:00:00', '09:00:00', { ordered: false }));
  assert.equal(ordered(pass), false);
});

test('A checkpoint of a version that did not look at the order knows of none.', () => {
  const pass = openPass(begun({ cursor: 'b', since: at('01:00:00') }));
  pass.pageSettled(listPage('08:00:00', '09:00:00'));
  assert.partialDeepStrictEqual(pass.current().listed, { ordered: false, newest: at('09:00:00'), read: 10 });
  assert.equal(pass.restartsAt(), at('01:00:00'));
});

test('Records that are read again by id count, but tell nothing about the list, whenever they changed.', () => {
  const pass = openPass(fresh());
  pass.pageSettled(listPage('08:00:00', '09:00:00'));
  const { listed } = pass.current();
  pass.pageSettled(listPage('01:00:00', '23:00:00', { cursor: undefined, ordered: false }));
  assert.deepEqual(pass.current().listed, listed);
  assert.deepEqual([pass.current().counts.read, pass.current().newest], [20, at('23:00:00')]);
  pass.pageSettled(listPage('09:00:00', '10:00:00'));
  assert.equal(ordered(pass), true);
});

/** Where a pass restarts that has settled one page of an ordered list, from 08:00 to 09:00. */
function restartsAfter(what: Partial<Pass>, settled: Partial<SettledPage> = {}) {
  const pass = openPass(fresh(what));
  pass.pageSettled(listPage('08:00:00', '09:00:00', settled));
  return pass.restartsAt();
}

test('An ordered list restarts the overlap before the newest settled change, and never before its own beginning.', () => {
  assert.equal(restartsAfter({}), at('08:59:00'));
  assert.equal(restartsAfter({ since: at('08:00:00') }), at('08:59:00'));
  assert.equal(restartsAfter({ since: at('08:59:30') }), at('08:59:30'));
  const again = { read: 0, newest: at('08:59:00') };
  assert.equal(restartsAfter({ since: at('01:00:00'), restart: { ...again, since: at('08:58:00') } }), at('08:59:00'));
  assert.equal(restartsAfter({ since: at('01:00:00'), restart: { ...again, since: at('08:59:30') } }), at('08:59:30'));
});

test('Records that lie no further apart than the overlap are no sign of an order, so nothing is left out.', () => {
  const since = at('01:00:00');
  assert.equal(restartsAfter({ since }, { oldestMs: Date.parse(at('08:59:00')) }), since);
  assert.equal(restartsAfter({ since }, { oldestMs: Date.parse(at('08:58:59')) }), at('08:59:00'));
  const restart = { read: 5, newest: at('08:50:00'), since: at('08:49:00') };
  assert.equal(restartsAfter({ since, restart }, { oldestMs: Date.parse(at('08:59:30')) }), restart.since);
  // The oldest is that of the first page that tells one, over all runs of the pass.
  const resumed = openPass(fresh({ since }));
  resumed.pageSettled(page({ cursor: 'a' }));
  resumed.pageSettled(listPage('08:00:00', '08:59:30'));
  const pass = openPass(resumed.current());
  pass.pageSettled(listPage('08:59:30', '09:00:00'));
  assert.equal(pass.restartsAt(), at('08:59:00'));
  // A checkpoint without an oldest change tells nothing.
  assert.equal(
    openPass(fresh({ since, listed: { ordered: true, rises: 10, newest: at('09:00:00'), read: 9 } })).restartsAt(),
    since,
  );
});

test('A list that has risen fewer than ten times may be in order by chance, so nothing is left out.', () => {
  const since = at('01:00:00');
  assert.equal(restartsAfter({ since }, { rises: 10 }), since);
  const restart = { read: 5, newest: at('08:50:00'), since: at('07:00:00') };
  assert.equal(restartsAfter({ since, restart }, { rises: 10 }), restart.since);
  assert.equal(restartsAfter({ since }, { rises: 11 }), at('08:59:00'));
  // Ten pages of one record each after the first one; a record of the same moment as the one before is no rise.
  const pass = openPass(fresh({ since }));
  for (let minute = 10; minute < 20; minute++) {
    const moment = `08:${minute}:00`;
    for (let twice = 0; twice < 2; twice++) pass.pageSettled(listPage(moment, moment, { rises: 1 }));
    pass.pageSettled(page({ cursor: 'next' }));
  }
  assert.equal(pass.restartsAt(), since);
  pass.pageSettled(listPage('08:20:00', '08:20:00', { rises: 1 }));
  assert.equal(pass.restartsAt(), at('08:19:00'));
});

test('Without a known order a pass restarts at the beginning of its window, and so does one of single records.', () => {
  const since = at('01:00:00');
  const restart = { read: 5, since: at('08:00:00') };
  for (const begins of [since, undefined]) {
    const window = begins === undefined ? {} : { since: begins };
    assert.equal(restartsAfter(window, { ordered: false }), begins);
    assert.equal(restartsAfter({ ...window, restart }, { ordered: false }), begins);
    assert.equal(restartsAfter({ ...window, byIds: true }), begins);
    assert.equal(openPass(fresh(window)).restartsAt(), begins);
  }
});

test('A pass that restarted and has settled nothing since restarts at the same moment again.', () => {
  assert.equal(
    openPass(fresh({ since: at('01:00:00'), restart: { read: 5, since: at('08:00:00') } })).restartsAt(),
    at('08:00:00'),
  );
});

test('A pass that starts over knows how far it had got, and counts the list again.', () => {
  const listed = { ordered: true, rises: 10, oldest: at('08:00:00'), newest: at('09:00:00'), read: 10 };
  const pass = openPass(fresh({ cursor: 'b', listed }));
  pass.startOver();
  assert.partialDeepStrictEqual(pass.current(), {
    ...{ cursor: null, listed: { ordered: true, read: 0 } },
    restart: { read: 10, newest: at('09:00:00'), since: at('08:59:00') },
  });
  assert.equal(pass.current().listed?.newest, undefined);
});

test('A pass that starts over keeps what this run has read by id, and what earlier runs counted is counted again.', () => {
  const pass = openPass(fresh({ cursor: 'b', counts: { ...newReport(), read: 9, written: 8, failed: 1, pages: 3 } }));
  pass.pageSettled(page({ read: 2, written: 1, failed: 1 }));
  pass.startOver();
  assert.deepEqual(pass.current().counts, { ...newReport(), read: 2, written: 1, failed: 1, pages: 1 });
});

test('A pass that starts over once more remembers the furthest that it ever was.', () => {
  const restart = { read: 30, newest: at('10:00:00') };
  const startsOver = (before: typeof restart, listed: typeof restart) => {
    const pass = openPass(fresh({ restart: before, listed: { ordered: false, rises: 0, ...listed } }));
    pass.startOver();
    const { read, newest } = pass.current().restart!;
    return { read, newest };
  };
  assert.deepEqual(startsOver(restart, { read: 20, newest: at('09:00:00') }), restart);
  assert.deepEqual(startsOver({ read: 20, newest: at('09:00:00') }, restart), restart);
  assert.deepEqual(startsOver({ read: 20, newest: at('10:00:00') }, { read: 30, newest: at('09:00:00') }), restart);
  const nothing = openPass(fresh());
  nothing.startOver();
  assert.deepEqual(nothing.current().restart, { read: 0, newest: undefined, since: undefined });
});

test('A pass that never had to begin again gets on.', () => {
  assert.equal(openPass(fresh()).advanced(), true);
});

test('A pass that began at its beginning again gets on once it has read more than before, records by id not counted.', () => {
  const pass = openPass(
    fresh({ since: at('01:00:00'), restart: { read: 20, newest: at('09:00:00'), since: at('01:00:00') } }),
  );
  assert.equal(pass.advanced(), false);
  pass.pageSettled(listPage('08:00:00', '23:00:00'));
  pass.pageSettled(page({ read: 50 }));
  assert.equal(pass.advanced(), false);
  pass.pageSettled(listPage('08:00:00', '09:00:00'));
  assert.equal(pass.advanced(), false);
  pass.pageSettled(listPage('08:00:00', '09:00:00', { read: 1 }));
  assert.equal(pass.advanced(), true);
});

test('A pass that began later again gets on once it has settled a newer change than before, however many it has read.', () => {
  const pass = openPass(fresh({ restart: { read: 20, newest: at('09:00:00'), since: at('08:59:00') } }));
  assert.equal(pass.advanced(), false);
  pass.pageSettled(listPage('08:59:00', '09:00:00', { read: 100 }));
  pass.pageSettled(listPage('08:59:00', '23:00:00', { cursor: undefined }));
  assert.equal(pass.advanced(), false);
  pass.pageSettled(listPage('09:00:00', '09:00:01', { read: 1 }));
  assert.equal(pass.advanced(), true);
});

test('A restart that knows no time gets on with the first time that it learns.', () => {
  const pass = openPass(fresh({ restart: { read: 20, since: at('08:59:00') } }));
  pass.pageSettled(page({ read: 30, cursor: 'next' }));
  assert.equal(pass.advanced(), false);
  pass.pageSettled(listPage('08:59:00', '09:00:00'));
  assert.equal(pass.advanced(), true);
});
