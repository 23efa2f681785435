import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newReport } from '../../lib/report.ts';
import { beginPass, checkResumedBackfill, type Identity, nameOf, resumePass, startOver } from '../../lib/state/pass.ts';
import type { Pass } from '../../lib/state/schemas.ts';
import { recordedLog } from '../support/recorded-log.ts';

const identity: Identity = { sourceUrl: 'http://source', style: 'cursor', shard: 'the whole job' };
const window = { since: '2026-01-01T00:00:00.000Z', until: '2026-02-01T00:00:00.000Z', full: false };
const run = { runId: 'run-1', startedAt: '2026-03-01T00:00:00.000Z' };

/** A pass over `window` that has got as far as the cursor b. */
const saved = (): Pass => ({
  ...beginPass(identity, window, run),
  cursor: 'b',
  counts: { ...newReport(), read: 5, pages: 1 },
});

test('A pass begins at the beginning of its window, with nothing counted.', () => {
  const { fingerprint, ...pass } = beginPass(identity, window, run);
  const listed = { ordered: true, rises: 0, read: 0 };
  assert.deepEqual(pass, { ...window, ...run, cursor: null, counts: newReport(), listed });
  assert.match(fingerprint, /^[0-9a-f]{16}$/);
});

test('A pass of the same source, window, paging and shard goes on where it was, which is logged.', () => {
  const { log, lines } = recordedLog();
  const pass = saved();
  assert.equal(resumePass(pass, { ...identity }, log), pass);
  const fields = { pass: { runId: 'run-1', counts: pass.counts } };
  assert.deepEqual(lines, [{ level: 'info', message: 'resuming the pass of an earlier run', fields }]);
});

for (const [what, changed, pass] of [
  ['source', { sourceUrl: 'http://another' }, {}],
  ['kind of paging', { style: 'links' }, {}],
  ['shard', { shard: 'shard 0 of 2' }, {}],
  ['beginning of the window', {}, { since: '2025-01-01T00:00:00.000Z' }],
  ['window without a beginning', {}, { since: undefined }],
  ['end of the window', {}, { until: '2025-02-01T00:00:00.000Z' }],
  ['window without an end', {}, { until: undefined }],
] as const) {
  test(`A saved cursor that belongs to another ${what} is not used: the window that is saved starts over.`, () => {
    const { log, lines } = recordedLog();
    const before = { ...saved(), ...pass };
    const now = { ...identity, ...changed };
    const after = resumePass(before, now, log);
    assert.equal(after.cursor, null);
    assert.deepEqual(after.counts, newReport());
    assert.partialDeepStrictEqual(after, { ...run, full: false, since: before.since, until: before.until });
    assert.notEqual(after.fingerprint, before.fingerprint);
    assert.equal(lines[0]?.level, 'warn');
    assert.match(lines[0]?.message ?? '', /the same window starts over$/);
    // From now on it goes on.
    assert.equal(resumePass(after, now, log), after);
  });
}

test('What starts over keeps the window and who began it, has another name, and forgets what was seen.', () => {
  const before = {
    ...saved(),
    byIds: true,
    newest: run.startedAt,
    sourceClock: run.startedAt,
    holdBack: run.startedAt,
    listed: { ordered: false, rises: 0, read: 5 },
    restart: { read: 5 },
    changes: { '0123456789abcdef': [2, 7] as [number, number] },
  };
  const { fingerprint } = before;
  const over = startOver(before);
  assert.deepEqual(over, {
    ...{ ...window, ...run, byIds: true, fingerprint, cursor: null, counts: newReport(), again: 1 },
    listed: { ordered: true, rises: 0, read: 0 },
  });
  const names = [before, over, startOver(over)].map(nameOf);
  assert.deepEqual(names, [run.runId, `${run.runId}.1`, `${run.runId}.2`]);
});

const backfill = { kind: 'backfill', waitSeconds: 0, dryRun: false } as const;
const refused = (message: RegExp) => ({ name: 'EventError', message });

test('A new backfill, and one that names an earlier one of the same kind and window, is taken.', () => {
  checkResumedBackfill(backfill, undefined);
  checkResumedBackfill({ ...backfill, ids: ['a'] }, saved());
  checkResumedBackfill({ ...backfill, backfillId: 'b' }, saved());
  checkResumedBackfill({ ...backfill, backfillId: 'b', since: window.since, until: window.until }, saved());
  checkResumedBackfill({ ...backfill, backfillId: 'b', ids: ['a'] }, { ...saved(), byIds: true });
});

test('A backfill that names no saved one needs a window or ids, so that a slip of the pen copies nothing.', () => {
  const named = { ...backfill, backfillId: 'b' };
  assert.throws(() => checkResumedBackfill(named, undefined), refused(/^there is no partial backfill b: it was com/));
  for (const what of [{ since: window.since }, { until: window.until }, { ids: ['a'] }])
    checkResumedBackfill({ ...named, ...what }, undefined);
});

test('A backfill that names one of another kind is refused, and the message says which kind that is.', () => {
  const named = { ...backfill, backfillId: 'b' };
  const byIds = { ...saved(), byIds: true };
  assert.throws(
    () => checkResumedBackfill(named, byIds),
    refused(/^backfill b is one of single records: name its ids/),
  );
  const other = refused(/^backfill b is not one of single records$/);
  assert.throws(() => checkResumedBackfill({ ...named, ids: ['a'] }, saved()), other);
});

test('A backfill that names one of another window is refused, and the message says which window that is.', () => {
  const named = { ...backfill, backfillId: 'b' };
  const elsewhere = '2026-01-15T00:00:00.000Z';
  const message = `backfill b is one from ${window.since} until ${window.until}, not the one that the event describes`;
  for (const what of [{ since: elsewhere }, { until: elsewhere }])
    assert.throws(() => checkResumedBackfill({ ...named, ...what }, saved()), { name: 'EventError', message });
  const open = { ...saved(), since: undefined, until: undefined };
  const all = refused(/^backfill b is one from the beginning until the end, not/);
  assert.throws(() => checkResumedBackfill({ ...named, since: elsewhere }, open), all);
});
