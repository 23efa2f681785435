import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newReport } from '../../lib/report.ts';
import { afterStep, type StepEnd } from '../../lib/state/after-step.ts';
import type { Detached } from '../../lib/state/backfill-schemas.ts';
import {
  againAfterEnd,
  askedByStep,
  beginDetached,
  checkSameRange,
  currentWindow,
  windowsOf,
} from '../../lib/state/detached.ts';

const now = '2026-03-01T12:00:00.000Z';
const day = (date: number) => `2026-01-0${date}T00:00:00.000Z`;
const begun = (more: Partial<Detached> = {}): Detached => ({
  ...beginDetached(
    { kind: 'backfill', detach: true, since: day(1), until: day(4), windowSeconds: 86_400 * 2 },
    undefined,
    now,
  ),
  ...more,
});
const counts = (read: number) => ({ ...newReport(), read, written: read, durationMs: 1000, peakInFlight: read });
const error = { name: 'TargetDownError', code: 'TARGET_DOWN', message: 'no answer' };
const end = (status: 'completed' | 'partial' | 'failed', more: Partial<StepEnd> = {}): StepEnd => ({
  last: { status, endedAt: now, report: counts(8), ...(status === 'failed' && { error }) },
  ...{ pass: { counts: counts(10) }, settledPages: 1, givenUp: [] },
  ...more,
});

test('A range is cut into adjoining windows, the last of which may be shorter; without a length it is one.', () => {
  assert.equal(windowsOf(begun()), 2);
  assert.deepEqual(currentWindow(begun()), { since: day(1), until: day(3) });
  assert.deepEqual(currentWindow(begun({ window: 1 })), { since: day(3), until: day(4) });
  const { windowSeconds: _, until: __, ...open } = begun();
  assert.deepEqual([windowsOf(open), currentWindow(open)], [1, { since: day(1) }]);
});

test('A window that is through is counted once, and the next one begins; the last one completes the backfill.', () => {
  const first = afterStep(begun({ attempts: 1 }), 0, end('completed', { givenUp: ['a'] }));
  assert.partialDeepStrictEqual(first, { status: 'running', window: 1, step: 1, attempts: 0, rate: 8 });
  assert.partialDeepStrictEqual(first, { failedCount: 1, failedIds: ['a'], counts: counts(10) });
  const last = afterStep(first, 1, end('completed'));
  assert.partialDeepStrictEqual(last, { status: 'completed', window: 2, step: 2, endedAt: now });
  assert.partialDeepStrictEqual(last.counts, { read: 20, written: 20, peakInFlight: 10 });
});

test('The first ids of records that were not written are kept within a bound, and all of them are counted.', () => {
  const long = Array.from({ length: 3 }, (_, index) => `${index}`.padEnd(400_000, 'x'));
  const { failedIds, failedCount } = afterStep(begun(), 0, end('completed', { givenUp: ['a', ...long, 'b'] }));
  assert.deepEqual([failedIds, failedCount], [['a'], 5]);
});

test('A step is passed by the event that did it, even where that was ahead of the state.', () => {
  assert.equal(afterStep(begun({ step: 3 }), 3, end('partial')).step, 4);
  assert.equal(afterStep(begun({ step: 3 }), 4, end('partial')).step, 5);
});

test('A run that settled a page goes on at once; one that did not is tried again after a pause that doubles.', () => {
  const partial = afterStep(begun({ attempts: 1 }), 0, end('partial', { reason: 'deadline' }));
  assert.deepEqual([partial.attempts, partial.notBefore], [0, undefined]);
  const failing = (attempts: number) => afterStep(begun({ attempts }), 0, end('failed', { settledPages: 0 }));
  assert.deepEqual(
    [1, 2, 3, 4].map((attempts) => Date.parse(failing(attempts).notBefore!) - Date.parse(now)),
    [4000, 8000, 16_000, 32_000],
  );
  assert.deepEqual(failing(1).lastError, error);
  const mended = afterStep({ ...failing(1), attempts: 2 }, 1, end('partial'));
  assert.deepEqual([mended.lastError, mended.notBefore, mended.attempts], [undefined, undefined, 0]);
});

test('A server that wants to be left alone is left alone for as long as it says, otherwise for 30 s.', () => {
  const quotaUntil = '2026-03-01T13:00:00.000Z';
  assert.equal(afterStep(begun(), 0, end('partial', { reason: 'throttled', quotaUntil })).notBefore, quotaUntil);
  const throttled = afterStep(begun(), 0, end('partial', { reason: 'throttled' }));
  assert.equal(throttled.notBefore, '2026-03-01T12:00:30.000Z');
});

test('The fifth attempt without a settled page is the last one, and what failed may go on where it was.', () => {
  const failed = afterStep(begun({ attempts: 5 }), 7, end('failed', { settledPages: 0 }));
  assert.partialDeepStrictEqual(failed, { status: 'failed', step: 8, endedAt: now, lastError: error });
  assert.equal(failed.notBefore, undefined);
  const again = againAfterEnd(failed, 3, now);
  assert.partialDeepStrictEqual(again, { status: 'running', step: 9, attempts: 0, concurrency: 3, window: 0 });
  assert.deepEqual([again.endedAt, again.lastError], [undefined, undefined]);
});

test('A cancelled backfill ends with what it has counted.', () => {
  const cancelled = afterStep(begun(), 0, end('partial', { reason: 'cancelled' }));
  assert.partialDeepStrictEqual(cancelled, { status: 'cancelled', window: 0, endedAt: now });
});

test('Who names a known backfill has to mean it.', () => {
  const check = (request: object, ids?: string[]) =>
    checkSameRange('id-1', request, begun(), { ownIds: ids, savedIds: undefined });
  assert.deepEqual(check({}), begun());
  assert.deepEqual(check({ since: day(1), until: day(4) }), begun());
  assert.throws(() => check({ since: day(2) }), { name: 'EventError', message: /id-1 has since 2026-01-01/ });
  assert.throws(() => check({}, ['a']), { name: 'EventError', message: /is not one of these ids/ });
});

test('A step copies what the state says, and nothing where its ids are gone.', () => {
  const request = { kind: 'backfill' as const, backfillId: 'id-1', step: 0, waitSeconds: 1, dryRun: false };
  const state = {
    backfillProgress: { failed: [], detached: begun({ window: 1, concurrency: 4, startedBy: 'somebody' }) },
  };
  assert.partialDeepStrictEqual(askedByStep(request, state), {
    ...{ since: day(3), until: day(4), concurrency: 4, startedBy: 'somebody' },
  });
  const { since: _, until: __, windowSeconds: ___, ...rest } = begun({ idCount: 2 });
  const ofIds = { backfillProgress: { failed: [], detached: rest } };
  assert.deepEqual(askedByStep(request, { ...ofIds, backfillIds: ['a', 'b'] }).ids, ['a', 'b']);
  assert.throws(() => askedByStep(request, ofIds), { name: 'StateError' });
});
