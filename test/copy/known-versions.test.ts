import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { openVersions } from '../../lib/copy/versions.ts';
import type { Accepted } from '../../lib/engine/accept.ts';
import { newReport } from '../../lib/report.ts';
import { idHash, MAX_RECENT, packRecent, type RecentVersion, unpackRecent } from '../../lib/state/recent.ts';
import type { Pass } from '../../lib/state/schemas.ts';

// Which records need no write, and what the next pass is told. No etcd here; see versions.test.ts for whole ticks.

type Item = { id: string; name: string };

const NOON_MS = Date.parse('2026-01-05T12:00:00.000Z');
const OVERLAP_MS = 60_000;
const EVERYTHING = 0;

/** A record that changed `secondsAgo` seconds before noon, with the hash `content` of what is written. */
const item = (id: string, secondsAgo: number, content?: string): Accepted<Item> => ({
  ...{ id, record: { id, name: `${id} as of ${secondsAgo}` }, content: () => content, as: 'written' },
  updatedAtMs: NOON_MS - secondsAgo * 1000,
});

const hex = (text: string) => hash('sha256', text).slice(0, 16);
const recentOf = (...items: Accepted<Item>[]) =>
  unpackRecent(
    packRecent(
      new Map(items.map(({ id, updatedAtMs, content }) => [idHash(id), { updatedAtMs, content: content()! }])),
    ),
  );

/** The versions of a run that began at noon, on a clock that says noon. */
function start(t: TestContext, options: { before?: Accepted<Item>[]; rewrite?: boolean; pass?: Partial<Pass> } = {}) {
  const { before = [], rewrite = false } = options;
  t.mock.timers.reset();
  t.mock.timers.enable({ apis: ['Date'], now: NOON_MS });
  const pass: Pass = {
    ...{ runId: 'run-1', startedAt: new Date(NOON_MS).toISOString(), full: false, fingerprint: 'f', cursor: null },
    ...{ counts: newReport(), ...options.pass },
  };
  const versions = openVersions<Item>({
    ...{ before: recentOf(...before), rewrite, pass: { current: () => pass }, overlapSeconds: OVERLAP_MS / 1000 },
  });
  return {
    pass,
    ...versions,
    kept: (sinceMs = EVERYTHING) => versions.recent(sinceMs),
    has: (id: string, sinceMs = EVERYTHING) => versions.recent(sinceMs)?.has(idHash(id)),
  };
}

test('Of one id an older version than the newest one read is known, and the same or a newer one is not.', (t) => {
  const { isKnown } = start(t);
  assert.equal(isKnown(item('a', 100)), false);
  assert.equal(isKnown(item('a', 101)), true);
  assert.equal(isKnown(item('a', 100)), false);
  assert.equal(isKnown(item('a', 99)), false);
  assert.equal(isKnown(item('a', 100)), true);
  // Of another id nothing is known.
  assert.equal(isKnown(item('b', 200)), false);
});

test('A version of this moment is remembered, and one that is to come or has no time is not.', (t) => {
  const { isKnown } = start(t);
  assert.equal(isKnown(item('now', 0)), false);
  assert.equal(isKnown(item('now', 1)), true);
  assert.equal(isKnown(item('soon', -0.001)), false);
  assert.equal(isKnown(item('soon', 1)), false);
  assert.equal(isKnown(item('none', Number.NaN)), false);
  assert.equal(isKnown(item('none', 1)), false);
});

test('The newest versions of at least the last 30,000 ids are remembered, and not those of more than twice as many.', (t) => {
  const { isKnown } = start(t);
  const read = (count: number, name: string) => {
    for (let index = 0; index < count; index++) assert.equal(isKnown(item(`${name}${index}`, 100)), false);
  };
  isKnown(item('first', 100));
  read(29_999, 'a');
  assert.equal(isKnown(item('first', 101)), true);
  read(29_999, 'b');
  assert.equal(isKnown(item('first', 101)), true);
  read(1, 'c');
  assert.equal(isKnown(item('first', 101)), false);
});

test('A newer version is remembered in place of an older one that was read long before.', (t) => {
  const { isKnown } = start(t);
  isKnown(item('x', 100));
  for (let index = 0; index < 29_999; index++) isKnown(item(`a${index}`, 100));
  assert.equal(isKnown(item('x', 50)), false);
  assert.equal(isKnown(item('x', 75)), true);
});

test('What the last pass has left is known by its time and its content.', (t) => {
  const content = hex('content');
  const isKnown = (accepted: Accepted<Item>) => start(t, { before: [item('a', 100, content)] }).isKnown(accepted);
  assert.equal(isKnown(item('a', 100, content)), true);
  assert.equal(isKnown(item('a', 100, hex('changed'))), false);
  // An older version is left out whatever it holds, and a newer one is written even if it holds the same.
  assert.equal(isKnown(item('a', 101, hex('changed'))), true);
  assert.equal(isKnown(item('a', 99, content)), false);
  assert.equal(isKnown(item('b', 100, content)), false);
});

test('What is known of one record does not depend on newer ones of the last pass.', (t) => {
  const { isKnown } = start(t, { before: [item('a', 100, hex('a')), item('b', 50, hex('b'))] });
  assert.equal(isKnown(item('a', 90, hex('a'))), false);
  assert.equal(isKnown(item('b', 50, hex('b'))), true);
});

test('Where the hash of a write is known only later, the record’s own hash is compared.', (t) => {
  const accepted = item('a', 100);
  const content = hex(JSON.stringify(accepted.record));
  assert.equal(start(t, { before: [{ ...accepted, content: () => content }] }).isKnown(accepted), true);
  assert.equal(start(t, { before: [{ ...accepted, content: () => hex('x') }] }).isKnown(accepted), false);
  const written = start(t);
  written.written(accepted);
  assert.deepEqual(written.kept()?.get(idHash('a')), { updatedAtMs: accepted.updatedAtMs, content });
});

test('A full pass writes again what the last pass has left, but brings back no older version.', (t) => {
  const content = hex('content');
  const { isKnown, kept } = start(t, { before: [item('a', 100, content)], rewrite: true });
  assert.equal(isKnown(item('a', 100, content)), false);
  assert.equal(kept()?.size, 0);
  assert.equal(start(t, { before: [item('a', 100, content)], rewrite: true }).isKnown(item('a', 101, content)), true);
});

test('A version to come is written although the last pass has left the same.', (t) => {
  const content = hex('content');
  assert.equal(start(t, { before: [item('a', -1, content)] }).isKnown(item('a', -1, content)), false);
});

test('The next pass is told what was written and what was there already, also where only an older version or none came again, and nothing that was only looked at.', (t) => {
  const content = hex('content');
  const before = [item('there', 50, content), item('newer', 40, content), item('not read', 30, content)];
  const { isKnown, written, kept } = start(t, { before });
  isKnown(item('there', 50, content));
  assert.equal(isKnown(item('newer', 45, content)), true);
  isKnown(item('looked at', 50, content));
  written(item('written', 50, hex('other')));
  assert.deepEqual(
    kept(),
    new Map([
      [idHash('there'), { updatedAtMs: NOON_MS - 50_000, content }],
      [idHash('newer'), { updatedAtMs: NOON_MS - 40_000, content }],
      [idHash('not read'), { updatedAtMs: NOON_MS - 30_000, content }],
      [idHash('written'), { updatedAtMs: NOON_MS - 50_000, content: hex('other') }],
    ]),
  );
});

test('The next pass is told of changes from its own beginning on, to the millisecond.', (t) => {
  const since = NOON_MS - 50_000;
  for (const [secondsAgo, told] of [
    [50, true],
    [49.999, true],
    [50.001, false],
  ] as const) {
    const { written, has } = start(t);
    written(item('a', secondsAgo));
    assert.equal(has('a', since), told, `${secondsAgo}`);
  }
});

test('A time to come, or none, is not told to the next pass and does not push the others out.', (t) => {
  const { written, kept, has } = start(t);
  written(item('now', 0));
  for (const secondsAgo of [-0.001, -1e9, Number.NaN]) written(item(`${secondsAgo}`, secondsAgo));
  written(item('a', 60));
  assert.equal(kept()?.size, 2);
  assert.ok(has('now') && has('a'));
});

test('What changed longer than the overlap before the newest change need not be told.', (t) => {
  const { written, has } = start(t);
  written(item('newest', 1000));
  written(item('within', 1060));
  written(item('older', 1060.001));
  assert.deepEqual([has('newest'), has('within'), has('older')], [true, true, false]);
});

test('The overlap counts back from the pass’s beginning, or from the source’s clock where that is earlier.', (t) => {
  const reaches = (clock: string | undefined, startedAt = new Date(NOON_MS).toISOString()) => {
    const { pass, written, has } = start(t, { pass: { startedAt } });
    written(item('newest', 0));
    // The source tells its clock with its first page.
    if (clock !== undefined) pass.sourceClock = clock;
    for (const secondsAgo of [60, 61, 90, 91, 120, 121]) written(item(`${secondsAgo}`, secondsAgo));
    return [60, 61, 90, 91, 120, 121].filter((secondsAgo) => has(`${secondsAgo}`));
  };
  assert.deepEqual(reaches(undefined), [60]);
  assert.deepEqual(reaches('2026-01-05T12:00:30.000Z'), [60]);
  assert.deepEqual(reaches('2026-01-05T11:59:30.000Z'), [60, 61, 90]);
  assert.deepEqual(reaches(undefined, '2026-01-05T11:59:30.000Z'), [60, 61, 90]);
  assert.deepEqual(reaches('2026-01-05T11:59:00.000Z', '2026-01-05T11:59:30.000Z'), [60, 61, 90, 91, 120]);
  assert.deepEqual(reaches('2026-01-05T11:59:50.000Z', '2026-01-05T11:59:30.000Z'), [60, 61, 90]);
});

/** Writes `count` records that changed at the same moment. */
function writeMany(written: (accepted: Accepted<Item>) => void, count: number, secondsAgo: number) {
  for (let index = 0; index < count; index++) written(item(`${secondsAgo}/${index}`, secondsAgo, hex('content')));
}

test('As many versions as the list may hold are told, and of one more none.', (t) => {
  const { written, kept } = start(t);
  writeMany(written, MAX_RECENT, 30);
  assert.equal(kept()?.size, MAX_RECENT);
  written(item('one more', 30));
  assert.equal(kept(), undefined);
});

test('Versions that the next pass will not read are no reason to tell it none.', (t) => {
  const { written, kept } = start(t);
  writeMany(written, MAX_RECENT, 100);
  writeMany(written, MAX_RECENT, 50);
  assert.equal(kept(NOON_MS - 50_000)?.size, MAX_RECENT);
});

test('Twice as many versions as the list may hold are kept while the newest change may still leave most of them behind.', (t) => {
  const { written, kept, has } = start(t);
  writeMany(written, 2 * MAX_RECENT, 1000);
  // With this one it is known that they are none of the next pass’s.
  written(item('newest', 500, hex('content')));
  assert.equal(kept(NOON_MS - 560_000)?.size, 1);
  assert.equal(has('newest'), true);
});

test('When too many lie within the overlap they are all forgotten, and the next pass is told none that reaches back to them.', (t) => {
  const { written, kept } = start(t);
  writeMany(written, 2 * MAX_RECENT + 1, 40);
  writeMany(written, 5, 30);
  assert.equal(kept(NOON_MS - 40_000), undefined);
  assert.equal(kept(NOON_MS - 39_999)?.size, 5);
  assert.equal(kept(NOON_MS - 30_000)?.size, 5);
});

test('As many versions within the overlap as the list may hold are kept when older ones are dropped.', (t) => {
  const { written, kept } = start(t);
  writeMany(written, MAX_RECENT + 1, 1000);
  writeMany(written, MAX_RECENT, 500);
  assert.equal(kept(NOON_MS - 500_000)?.size, MAX_RECENT);
});

test('Of the forgotten versions the newest says how far the next pass may not reach back.', (t) => {
  const { written, kept } = start(t);
  written(item('newest', 20));
  writeMany(written, 2 * MAX_RECENT, 40);
  writeMany(written, 5, 10);
  assert.equal(kept(NOON_MS - 20_000), undefined);
  assert.equal(kept(NOON_MS - 19_999)?.size, 5);
});

test('Of what the last pass has left, the next one is told what changed since its own beginning.', (t) => {
  const content = hex('content');
  const { has } = start(t, { before: [item('a', 50, content), item('b', 50.001, content)] });
  const since = NOON_MS - 50_000;
  assert.deepEqual([has('a', since), has('b', since)], [true, false]);
});

test('A record that failed is neither known nor told, whoever has written it before.', (t) => {
  const content = hex('content');
  const { isKnown, written, failed, kept } = start(t, { before: [item('a', 50, content), item('b', 50, content)] });
  written(item('c', 50, content));
  failed('a');
  failed('c');
  assert.equal(isKnown(item('a', 50, content)), false);
  assert.deepEqual([...(kept()?.keys() ?? [])], [idHash('b')]);
});

test('A version that is written twice is told once, with what was written last.', (t) => {
  const { written, kept } = start(t);
  written(item('a', 40, hex('first')));
  written(item('a', 30, hex('second')));
  assert.deepEqual(
    kept(),
    new Map<string, RecentVersion>([[idHash('a'), { updatedAtMs: NOON_MS - 30_000, content: hex('second') }]]),
  );
});

test('A record that was written once more as of a time to come, or as of long ago, is not told: the target has that version.', (t) => {
  for (const later of [item('a', -3600, hex('mistake')), item('a', 2000, hex('lagging'))]) {
    const { written, kept } = start(t);
    written(item('a', 40, hex('content')));
    written(later);
    assert.deepEqual(kept(), new Map());
  }
});

test('What the last pass has left is not known any more once another version was written over it.', (t) => {
  const [content, other] = [hex('content'), hex('other')];
  const { isKnown, written, kept } = start(t, { before: [item('a', 50, content)] });
  assert.equal(isKnown(item('a', 50, other)), false);
  written(item('a', 50, other));
  assert.equal(isKnown(item('a', 50, content)), false);
  // As of a time to come, which is not kept.
  written(item('a', -1, other));
  assert.deepEqual(kept(), new Map());
});
