import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Put } from '../../lib/lock/mutex.ts';
import type { Operation } from '../../lib/lock/query.ts';
import { newReport } from '../../lib/report.ts';
import { leavingOfBackfill, leavingOfTick, type Reached } from '../../lib/state/final-state.ts';
import { packRecent, type RecentVersion } from '../../lib/state/recent.ts';
import type { Removals, RunRecord } from '../../lib/state/schemas.ts';
import type { State } from '../../lib/state/state.ts';

const startedAt = '2026-01-05T12:00:00.000Z';
const endedAt = '2026-01-05T12:01:00.000Z';
const newest = '2026-01-05T11:00:00.000Z';
const overlapSeconds = 60;
/** An hour with two digits, of the same day. */
const hour = (digits: string) => `2026-01-05T${digits}:00:00.000Z`;

const last = (status: RunRecord['status']): RunRecord => ({
  ...{ runId: 'run-2', kind: 'tick', status, startedAt, endedAt, fencingToken: '7', report: newReport() },
});

const reached = (pass: Partial<Reached['pass']> = {}): Reached => ({
  pass: {
    ...{ runId: 'run-1', startedAt: hour('10'), full: true, fingerprint: 'f', cursor: 'c', counts: newReport() },
    ...pass,
  },
  failed: [{ id: 'a', attempts: 2 }],
  givenUp: [],
  deadLettered: ['0123456789abcdef'],
  closedGeneration: undefined,
  recent: () => new Map(),
});

/** What a tick saves of it while it works. */
function progressOf(pass: Partial<Reached['pass']> = {}) {
  const { recent: _, closedGeneration: __, givenUp: ___, ...saved } = reached(pass);
  return saved;
}

/** What the operations put, by the key below `/state/`, and what they delete. */
function effectOf(operations: (Put | Operation)[]) {
  const put: Record<string, unknown> = {};
  const deleted: string[] = [];
  for (const operation of operations as Operation[]) {
    const { request_put, request_delete_range } = operation;
    const key = String(request_put?.key ?? request_delete_range?.key);
    assert.ok(key.startsWith('/state/'));
    if (request_put) put[key.slice('/state/'.length)] = JSON.parse(String(request_put.value));
    else deleted.push(key.slice('/state/'.length));
  }
  return { put, deleted };
}

/** What a tick of `scheduledTime` leaves when it ends so. */
function left(
  status: RunRecord['status'],
  options: { scheduledTime?: string; before?: Partial<State>; pass?: Partial<Reached['pass']> } = {},
) {
  const { scheduledTime, before, pass } = options;
  const state = { consecutiveSkips: 0, ...before };
  const leaving = leavingOfTick('/state/', state, { scheduledTime, overlapSeconds });
  return effectOf(leaving.final(last(status), reached(pass)));
}

/** The state after a tick of `completedScheduledTime`, which began two hours ago. */
const after = (completedScheduledTime: string): Partial<State> => ({
  run: { last: last('completed'), completedScheduledTime, completedStartedAt: hour('10') },
});

test('A completed tick leaves its record, no pass, the watermark, and no skips.', () => {
  const { put, deleted } = left('completed', { scheduledTime: hour('12'), pass: { newest } });
  assert.deepEqual(put, {
    run: { last: last('completed'), completedScheduledTime: hour('12'), completedStartedAt: startedAt },
    checkpoint: { failed: reached().failed, deadLettered: reached().deadLettered },
    watermark: { at: '2026-01-05T09:59:00.000Z', fullAt: hour('10') },
  });
  assert.deepEqual(deleted, ['recent', 'skips']);
});

for (const status of ['partial', 'failed'] as const) {
  test(`A ${status} tick leaves its record and its pass, and changes neither the watermark nor what was completed.`, () => {
    const before = { ...after(hour('11')), watermark: { at: hour('09'), fullAt: hour('08') } };
    const { put, deleted } = left(status, { scheduledTime: hour('12'), before, pass: { newest } });
    assert.deepEqual(put, {
      run: { last: last(status), completedScheduledTime: hour('11'), completedStartedAt: hour('10') },
      checkpoint: progressOf({ newest }),
    });
    assert.deepEqual(deleted, ['skips']);
  });

  test(`A ${status} tick of a job that has completed none leaves no completed time.`, () => {
    assert.deepEqual(left(status, { scheduledTime: hour('12') }).put.run, { last: last(status) });
  });
}

test('The completed scheduled time only rises, unless it lies in the future, where a hand has put it.', () => {
  const completed = (scheduledTime: string | undefined, before: Partial<State>) => {
    const options = scheduledTime === undefined ? { before } : { scheduledTime, before };
    return (left('completed', options).put.run as { completedScheduledTime?: string }).completedScheduledTime;
  };
  assert.equal(completed(hour('12'), after(hour('11'))), hour('12'));
  assert.equal(completed(hour('10'), after(hour('11'))), hour('11'));
  assert.equal(completed(undefined, after(hour('11'))), hour('11'));
  assert.equal(completed(undefined, {}), undefined);
  assert.equal(completed(hour('11'), after('2099-01-01T00:00:00.000Z')), hour('11'));
  assert.equal(completed(undefined, after('2099-01-01T00:00:00.000Z')), '2099-01-01T00:00:00.000Z');
  // The moment at which the run ends is not the future.
  assert.equal(completed(hour('12'), after(endedAt)), endedAt);
});

test('Only a full pass moves the time of the last full pass, and it moves it to its own beginning.', () => {
  const before = { watermark: { at: hour('08'), fullAt: hour('07') } };
  const fullAt = (full: boolean) =>
    (left('completed', { before, pass: { full, newest } }).put.watermark as { fullAt: string }).fullAt;
  assert.equal(fullAt(false), hour('07'));
  assert.equal(fullAt(true), hour('10'));
});

test('A pass that saw nothing keeps the watermark, and without one writes none.', () => {
  const before = { watermark: { at: hour('08'), fullAt: hour('07') } };
  assert.deepEqual(left('completed', { before, pass: { full: false } }).put.watermark, before.watermark);
  assert.ok(!('watermark' in left('completed').put));
  // The watermark was reset while the pass was under way.
  assert.deepEqual(left('completed', { pass: { full: false, newest } }).put.watermark, {
    at: '2026-01-05T09:59:00.000Z',
  });
});

test('While a tick works it saves its pass, its failed records and what it has dead-lettered.', () => {
  const leaving = leavingOfTick('/state/', { consecutiveSkips: 0 }, { scheduledTime: undefined, overlapSeconds });
  assert.deepEqual(effectOf([leaving.progress(reached())]), { put: { checkpoint: progressOf() }, deleted: [] });
});

test('A backfill saves under its own id, is forgotten once completed, and leaves the timer’s state alone.', () => {
  const leaving = leavingOfBackfill('/state/', 'b');
  const { pass, failed } = reached();
  const progress = { 'backfills/b': { pass, failed } };
  assert.deepEqual(effectOf([leaving.progress(reached())]), { put: progress, deleted: [] });
  for (const status of ['partial', 'failed'] as const) {
    const put = { backfill: { last: last(status) }, ...progress };
    assert.deepEqual(effectOf(leaving.final(last(status), reached())), { put, deleted: [] });
  }
  const put = { backfill: { last: last('completed') } };
  assert.deepEqual(effectOf(leaving.final(last('completed'), reached())), { put, deleted: ['backfills/b'] });
});

/** What a completed tick leaves of the versions that it has found at the target, and from when on it was asked for them. */
function recentAfter(options: {
  versions?: Map<string, RecentVersion> | undefined;
  at?: string;
  pass?: Partial<Reached['pass']>;
}) {
  const { versions, at, pass } = options;
  const asked: number[] = [];
  const recent = (sinceMs: number) => {
    asked.push(sinceMs);
    return versions;
  };
  const before: State = { consecutiveSkips: 0, ...(at !== undefined && { watermark: { at } }) };
  const leaving = leavingOfTick('/state/', before, { scheduledTime: undefined, overlapSeconds });
  const { put, deleted } = effectOf(leaving.final(last('completed'), { ...reached(pass), recent }));
  return { asked, recent: put.recent, forgotten: deleted.includes('recent') };
}

const versions = new Map([['0123456789abcdef', { updatedAtMs: Date.parse(newest), content: 'fedcba9876543210' }]]);

test('A completed tick leaves the versions since its watermark, and says which watermark that is.', () => {
  const at = '2026-01-05T09:59:00.000Z';
  assert.deepEqual(recentAfter({ versions, pass: { newest } }), {
    ...{ asked: [Date.parse(at)], forgotten: false },
    recent: { at, versions: packRecent(versions) },
  });
});

test('A completed tick that saw nothing leaves the versions since the watermark as it was, and without one none.', () => {
  assert.deepEqual(recentAfter({ versions, at: hour('08') }), {
    ...{ asked: [Date.parse(hour('08'))], forgotten: false },
    recent: { at: hour('08'), versions: packRecent(versions) },
  });
  assert.deepEqual(recentAfter({ versions }), { asked: [], recent: undefined, forgotten: true });
});

test('Where there are no recent versions, or too many, the ones of an earlier tick are forgotten.', () => {
  const none = recentAfter({ versions: new Map<string, RecentVersion>(), pass: { newest } });
  assert.deepEqual([none.recent, none.forgotten], [undefined, true]);
  const { recent } = recentAfter({ versions: undefined, pass: { newest } });
  assert.deepEqual(recent, { at: '2026-01-05T09:59:00.000Z', versions: '', tooMany: true });
});

test('However a tick ends, it leaves which old scopes are closed.', () => {
  for (const status of ['completed', 'partial', 'failed'] as const) {
    const leaving = leavingOfTick('/state/', { consecutiveSkips: 0 }, { scheduledTime: undefined, overlapSeconds });
    const { put } = effectOf(leaving.final(last(status), { ...reached(), closedGeneration: 3 }));
    assert.equal((put.run as { closedGeneration?: number }).closedGeneration, 3);
  }
});

test('A completed pass leaves the vanished records that wait, or none; one that does not compare leaves them as they were.', () => {
  const leaving = leavingOfTick('/state/', { consecutiveSkips: 0 }, { scheduledTime: undefined, overlapSeconds });
  const effect = (status: RunRecord['status'], waiting?: string[]) => {
    const { put, deleted } = effectOf(leaving.final(last(status), { ...reached(), waiting }));
    return { put: put.waiting, deleted: deleted.includes('waiting') };
  };
  assert.deepEqual(effect('completed', ['00ff00ff00ff00ff']), { put: { ids: 'AP8A/wD/AP8=' }, deleted: false });
  assert.deepEqual(effect('completed', []), { put: undefined, deleted: true });
  assert.deepEqual(effect('completed'), { put: undefined, deleted: false });
  assert.deepEqual(effect('partial', []), { put: undefined, deleted: false });
});

test('A completed pass that compared leaves what it has withheld, or nothing; another one leaves it as it was.', () => {
  const removals = { withheld: 12, of: 100, at: endedAt };
  const effect = (
    leaving: ReturnType<typeof leavingOfTick>,
    status: RunRecord['status'],
    removals?: Removals | 'none',
  ) => {
    const { put, deleted } = effectOf(leaving.final(last(status), { ...reached(), removals }));
    return { put: put.removals, deleted: deleted.includes('removals') };
  };
  for (const leaving of [
    leavingOfTick('/state/', { consecutiveSkips: 0 }, { scheduledTime: undefined, overlapSeconds }),
    leavingOfBackfill('/state/', 'b'),
  ]) {
    assert.deepEqual(effect(leaving, 'completed', removals), { put: removals, deleted: false });
    assert.deepEqual(effect(leaving, 'completed', 'none'), { put: undefined, deleted: true });
    assert.deepEqual(effect(leaving, 'completed'), { put: undefined, deleted: false });
    for (const status of ['partial', 'failed'] as const) {
      assert.deepEqual(effect(leaving, status, removals), { put: undefined, deleted: false });
      assert.deepEqual(effect(leaving, status, 'none'), { put: undefined, deleted: false });
    }
  }
});
