import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newReport } from '../../lib/report.ts';
import type { Pass } from '../../lib/state/schemas.ts';
import { watermarkAfter, windowOfTick } from '../../lib/state/watermark.ts';

const HOUR_MS = 3_600_000;
const at = '2026-01-05T12:00:00.000Z';
const initialSince = '2025-01-01T00:00:00.000Z';

const windowAt = (
  watermark: Parameters<typeof windowOfTick>[0],
  nowMs: number,
  options: Partial<Parameters<typeof windowOfTick>[1]> = {},
) => windowOfTick(watermark, { incremental: true, initialSince, fullEveryHours: undefined, nowMs, ...options });

test('A first pass reads everything from INITIAL_SINCE on, and the next one what changed since the watermark.', () => {
  const nowMs = Date.parse(at);
  assert.deepEqual(windowAt(undefined, nowMs), { since: initialSince, full: true });
  assert.deepEqual(windowAt({ at, fullAt: at }, nowMs + 1e12), { since: at, full: false });
  assert.deepEqual(windowAt(undefined, nowMs, { initialSince: undefined }), { since: undefined, full: true });
});

test('A job without a time of change reads everything at every tick, whatever INITIAL_SINCE says.', () => {
  const options = { incremental: false };
  assert.deepEqual(windowAt({ at, fullAt: at }, Date.parse(at), options), { full: true });
});

test('A full pass is due to the millisecond when FULL_EVERY_HOURS have passed since the last one began.', () => {
  const options = { fullEveryHours: 24 };
  const dueMs = Date.parse(at) + 24 * HOUR_MS;
  assert.deepEqual(windowAt({ at, fullAt: at }, dueMs - 1, options), { since: at, full: false });
  assert.deepEqual(windowAt({ at, fullAt: at }, dueMs, options), { since: initialSince, full: true });
});

test('A watermark that knows of no full pass makes the next one full.', () => {
  assert.deepEqual(windowAt({ at }, Date.parse(at)), { since: initialSince, full: true });
});

/** A completed pass that began at noon. */
const pass = (what: Partial<Pass>): Pass => ({
  ...{ runId: 'run-1', startedAt: at, full: true, fingerprint: 'f', cursor: null, counts: newReport() },
  ...what,
});

test('A pass that saw no change leaves the watermark where it is.', () => {
  assert.equal(watermarkAfter(pass({}), 60), undefined);
});

test('The watermark lies the overlap before the newest change, and never behind the beginning of the pass.', () => {
  assert.equal(watermarkAfter(pass({ newest: '2026-01-05T11:00:00.000Z' }), 60), '2026-01-05T10:59:00.000Z');
  assert.equal(watermarkAfter(pass({ newest: '2099-01-01T00:00:00.000Z' }), 60), '2026-01-05T11:59:00.000Z');
});

test('Where the source tells its own time, the earlier of its clock and ours is the bound.', () => {
  const newest = '2026-01-05T12:30:00.000Z';
  const ahead = pass({ newest, sourceClock: '2026-01-05T12:10:00.000Z' });
  assert.equal(watermarkAfter(ahead, 0), at);
  const behind = pass({ newest, sourceClock: '2026-01-05T11:50:00.000Z' });
  assert.equal(watermarkAfter(behind, 0), '2026-01-05T11:50:00.000Z');
});

test('A failed record that no list holds keeps the watermark at its time, and a later one does not move it forth.', () => {
  const newest = '2026-01-05T11:00:00.000Z';
  const earlier = '2026-01-05T09:00:00.000Z';
  assert.equal(watermarkAfter(pass({ newest, holdBack: earlier }), 60), earlier);
  const later = pass({ newest, holdBack: '2026-01-05T10:59:30.000Z' });
  assert.equal(watermarkAfter(later, 60), '2026-01-05T10:59:00.000Z');
});

test('The time of a failed record is the bound to the millisecond, and it is not reckoned less the overlap.', () => {
  const newest = '2026-01-05T11:00:00.000Z';
  const heldAt = (holdBack: string) => watermarkAfter(pass({ newest, holdBack }), 60);
  assert.equal(heldAt('2026-01-05T10:58:59.999Z'), '2026-01-05T10:58:59.999Z');
  assert.equal(heldAt('2026-01-05T10:59:00.000Z'), '2026-01-05T10:59:00.000Z');
  assert.equal(heldAt('2026-01-05T10:59:00.001Z'), '2026-01-05T10:59:00.000Z');
});

test('A failed record holds the watermark back only where the pass saw a change that could move it.', () => {
  assert.equal(watermarkAfter(pass({ holdBack: '2026-01-05T09:00:00.000Z' }), 60), undefined);
});

test('A watermark of this very moment is believed, and one that lies a millisecond ahead is not: everything is read.', () => {
  const nowMs = Date.parse(at);
  const fullAt = '2026-01-05T11:00:00.000Z';
  assert.deepEqual(windowAt({ at, fullAt }, nowMs), { since: at, full: false });
  assert.deepEqual(windowAt({ at, fullAt }, nowMs - 1), { since: initialSince, full: true });
  assert.deepEqual(windowAt({ at: '9999-12-31T23:59:59.999Z', fullAt }, nowMs), { since: initialSince, full: true });
});

test('A full pass that is said to begin in the future is not believed, and one of this very moment is.', () => {
  const nowMs = Date.parse(at);
  const early = '2026-01-05T11:00:00.000Z';
  assert.deepEqual(windowAt({ at: early, fullAt: at }, nowMs), { since: early, full: false });
  assert.deepEqual(windowAt({ at: early, fullAt: at }, nowMs - 1), { since: initialSince, full: true });
});

test('An overlap that reaches before the year 0 begins with it.', () => {
  assert.equal(watermarkAfter(pass({ newest: '0000-01-01T00:00:01.000Z' }), 60), '0000-01-01T00:00:00.000Z');
});
