import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Backfill } from '../../lib/backfill-event.ts';
import type { Tick } from '../../lib/event.ts';
import type { Holder } from '../../lib/lock/holder.ts';
import { isUnderWay, lockedBy, reasonToSkip } from '../../lib/run/skip.ts';
import { readSettings } from '../../lib/settings/config.ts';
import type { RunRecord } from '../../lib/state/schemas.ts';
import type { State } from '../../lib/state/state.ts';

const NOW = '2026-11-24T12:00:00.000Z';
const nowMs = Date.parse(NOW);

const settings = {
  ...readSettings(
    {
      ...{ STAGE: 'test', SECRET_ID: 'test', SOURCE_URL: 'http://source', TARGET_URL: 'http://target' },
      ...{ TARGET_REGION_ID: 'eu', ETCD_ENDPOINTS: 'http://etcd:2379' },
    },
    { name: 'models' },
  ),
  startingDeadlineSeconds: 60,
  minIntervalSeconds: 300,
};

const tick = (scheduledTime?: string): Tick => ({ kind: 'tick', scheduledTime });
const pause = { since: '2026-11-23T00:00:00.000Z', note: 'target is being migrated' };

/** The state after a completed tick of `scheduledTime` that began at `startedAt`. */
const after = (completedScheduledTime: string, completedStartedAt: string): State => ({
  consecutiveSkips: 0,
  run: { last: {} as RunRecord, completedScheduledTime, completedStartedAt },
});

const longAgo = after('2026-11-24T11:00:00.000Z', '2026-11-24T11:00:00.000Z');
const reasonOf = (...[request, state]: [Tick, State]) => reasonToSkip(request, state, settings, nowMs)?.reason;

test('A first tick and one that is due are not skipped.', () => {
  assert.equal(reasonOf(tick(NOW), { consecutiveSkips: 0 }), undefined);
  assert.equal(reasonOf(tick(NOW), longAgo), undefined);
});

test('A paused job skips its ticks and reports the note and since when.', () => {
  const skip = reasonToSkip(tick(NOW), { ...longAgo, pause }, settings, nowMs);
  assert.equal(skip?.reason, 'paused');
  assert.match(skip?.message ?? '', /since 2026-11-23T00:00:00\.000Z: target is being migrated$/);
});

test('A scheduled time that was completed, or one before it, is a duplicate.', () => {
  assert.equal(reasonOf(tick('2026-11-24T11:00:00.000Z'), longAgo), 'duplicate');
  assert.equal(reasonOf(tick('2026-11-24T10:59:59.999Z'), longAgo), 'duplicate');
});

test('A completed tick with a future time is a duplicate itself and makes no earlier tick one.', () => {
  const sentByHand = after('2099-01-01T00:00:00.000Z', '2026-11-24T11:00:00.000Z');
  assert.equal(reasonOf(tick('2099-01-01T00:00:00.000Z'), sentByHand), 'duplicate');
  assert.equal(reasonOf(tick(NOW), sentByHand), undefined);
});

test('A tick that comes later than its starting deadline is stale, and one that comes just in time is not.', () => {
  assert.equal(reasonOf(tick('2026-11-24T11:58:59.000Z'), longAgo), 'stale');
  assert.equal(reasonOf(tick('2026-11-24T11:59:00.000Z'), longAgo), undefined);
});

test('A tick within the minimum interval after the start of the last completed one is skipped.', () => {
  const scheduled = '2026-11-24T11:55:00.000Z';
  assert.equal(reasonOf(tick(NOW), after(scheduled, '2026-11-24T11:55:01.000Z')), 'min-interval');
  assert.equal(reasonOf(tick(NOW), after(scheduled, '2026-11-24T11:55:00.000Z')), undefined);
  // The last tick ran on a clock that was a day ahead.
  assert.equal(reasonOf(tick(NOW), after(scheduled, '2026-11-25T12:00:00.000Z')), undefined);
});

test('A continuation goes on within the minimum interval: its chain is one piece of work.', () => {
  const recent = after('2026-11-24T11:59:00.000Z', NOW);
  assert.equal(reasonOf(tick(), recent), 'min-interval');
  assert.equal(reasonOf({ ...tick(), continues: { root: 'run-1', hop: 1 } }, recent), undefined);
});

test('A tick for another number of shards than the settings ask for is stale, and says both.', () => {
  const sharded = { ...settings, shards: 4 };
  const message = (request: Tick, asked: typeof settings) => {
    const skip = reasonToSkip(request, longAgo, asked, nowMs);
    return skip && `${skip.reason}: ${skip.message}`;
  };
  const ofFour: Tick = { ...tick(NOW), shard: { index: 1, of: 4 } };
  assert.equal(message(ofFour, sharded), undefined);
  assert.equal(message(ofFour, settings), 'stale: the tick is for shard 1 of 4, but SHARDS is 1 by now');
  assert.equal(message(tick(NOW), sharded), 'stale: the tick is for the whole job, but SHARDS is 4 by now');
});

test('A run of another number of shards that has not ended stops ticks and backfills, and is named.', () => {
  const otherDivision = { key: '/lock.shards/0-of-2/1f', leaseId: '1f', createRevision: '7' };
  const state = { ...longAgo, otherDivision };
  const skip = {
    reason: 'resharding',
    message: 'a run of another number of shards has not ended: /lock.shards/0-of-2/1f',
    heldBy: otherDivision,
  };
  assert.deepEqual(reasonToSkip(tick(NOW), state, settings, nowMs), skip);
  assert.deepEqual(reasonToSkip({ kind: 'backfill', waitSeconds: 0, dryRun: false }, state, settings, nowMs), skip);
  // A tick has a reason of its own before that.
  assert.equal(reasonOf(tick(NOW), { ...state, pause }), 'paused');
});

test('Each skip of a tick says in one sentence what is in the way.', () => {
  const messageOf = (request: Tick, state: State) => reasonToSkip(request, state, settings, nowMs)?.message;
  assert.equal(
    messageOf(tick(NOW), { ...longAgo, pause: { since: pause.since } }),
    'the job has been paused since 2026-11-23T00:00:00.000Z',
  );
  assert.equal(
    messageOf(tick('2026-11-24T10:00:00.000Z'), longAgo),
    'the tick scheduled for 2026-11-24T10:00:00.000Z has been done: the last completed one was that of 2026-11-24T11:00:00.000Z',
  );
  assert.equal(
    messageOf(tick('2026-11-24T11:58:00.000Z'), longAgo),
    'the tick scheduled for 2026-11-24T11:58:00.000Z comes 120 s late, more than 60 s',
  );
  assert.equal(
    messageOf(tick(), after('2026-11-24T11:00:00.000Z', '2026-11-24T11:59:00.000Z')),
    'the last completed tick began 60 s ago, less than 300 s',
  );
});

test('A tick before the end of a quota is skipped, and no backfill.', () => {
  const until = '2026-11-24T12:00:01.000Z';
  const quota = { until, message: 'the source asks for a pause of 60 s' };
  const state = { ...longAgo, run: { ...longAgo.run!, quota } };
  assert.equal(reasonOf(tick(NOW), state), 'quota');
  assert.equal(
    reasonToSkip(tick(NOW), state, settings, nowMs)?.message,
    'nothing is asked of a server before 2026-11-24T12:00:01.000Z: the source asks for a pause of 60 s',
  );
  // What is over says nothing, nor does what a clock that was ahead has left.
  for (const [until, reason] of [
    [NOW, undefined],
    ['2026-11-25T12:00:00.000Z', 'quota'],
    ['2026-11-25T12:00:00.001Z', undefined],
    ['9999-01-01T00:00:00.000Z', undefined],
  ] as const)
    assert.equal(reasonOf(tick(NOW), { ...longAgo, run: { ...longAgo.run!, quota: { ...quota, until } } }), reason);
  const backfill = { kind: 'backfill', waitSeconds: 0, dryRun: false } as Backfill;
  assert.equal(reasonToSkip(backfill, state, settings, nowMs), undefined);
});

test('Whole seconds count for the starting deadline and the minimum interval, and the present is within it.', () => {
  assert.equal(reasonOf(tick('2026-11-24T11:58:59.501Z'), longAgo), undefined);
  assert.equal(reasonOf(tick(), after('2026-11-24T11:00:00.000Z', NOW)), 'min-interval');
});

test('A completed time of just now makes ticks before it duplicates.', () => {
  assert.equal(reasonOf(tick('2026-11-24T11:59:30.000Z'), after(NOW, '2026-11-24T11:00:00.000Z')), 'duplicate');
});

test('Where several reasons apply, the first in the order of the contract is given.', () => {
  const recent = after('2026-11-24T11:59:00.000Z', '2026-11-24T11:59:00.000Z');
  const late = '2026-11-24T11:30:00.000Z';
  assert.equal(reasonOf(tick(late), { ...recent, pause }), 'paused');
  assert.equal(reasonOf(tick(late), recent), 'duplicate');
  assert.equal(reasonOf(tick(late), after('2026-11-24T11:00:00.000Z', '2026-11-24T11:59:00.000Z')), 'stale');
  const quota = { until: '2026-11-24T13:00:00.000Z', message: 'x' };
  const usedUp = { ...recent, run: { ...recent.run!, quota } };
  assert.equal(reasonOf(tick(NOW), usedUp), 'min-interval');
  const otherDivision = { key: 'k', leaseId: '1', createRevision: '1' } as State['otherDivision'] & object;
  const old = { ...longAgo, run: { ...longAgo.run!, quota }, otherDivision };
  assert.equal(reasonOf(tick(NOW), old), 'quota');
  assert.equal(reasonOf(tick(NOW), { ...longAgo, otherDivision }), 'resharding');
});

test('Without a scheduled time a tick is neither a duplicate nor stale.', () => {
  assert.equal(reasonOf(tick(), after('2099-01-01T00:00:00.000Z', '2026-11-24T11:00:00.000Z')), undefined);
});

test('A check without its setting is off.', () => {
  const off = { ...settings, startingDeadlineSeconds: undefined, minIntervalSeconds: undefined };
  const state = after('2026-11-23T00:00:00.000Z', NOW);
  assert.equal(reasonToSkip(tick('2026-11-23T00:00:01.000Z'), state, off, nowMs), undefined);
});

test('None of these skips a backfill.', () => {
  const backfill = { kind: 'backfill', waitSeconds: 0, dryRun: false } as const;
  const state = { ...after('2099-01-01T00:00:00.000Z', NOW), pause };
  assert.equal(reasonToSkip(backfill, state, settings, nowMs), undefined);
});

test('The skip of a held lock names our own run by its id, and another program by its key and lease.', () => {
  const key = { key: '/lock/1f', leaseId: '1f', createRevision: '7' };
  const ours = { ...key, runId: 'run-1', kind: 'backfill', startedAt: '2026-11-24T11:59:50.000Z', host: 'host-1' };
  assert.deepEqual(lockedBy(ours, nowMs), {
    reason: 'locked',
    message: 'the lock is held by backfill run-1, started 2026-11-24T11:59:50.000Z (10 s ago) on host-1',
    heldBy: ours,
  });
  assert.match(lockedBy({ ...ours, startedAt: 'soon' }, nowMs).message, /run-1, started soon on host-1$/);
  const { kind: _, host: __, ...bare } = ours;
  assert.match(lockedBy(bare, nowMs).message, /^the lock is held by run run-1, .* on an unknown host$/);
  const { runId: ___, ...nameless } = ours;
  assert.match(lockedBy(nameless, nowMs).message, /held by another program: key \/lock\/1f/);
  const { startedAt: ____, ...ageless } = ours;
  assert.match(lockedBy(ageless, nowMs).message, /held by another program: key \/lock\/1f/);
  assert.match(lockedBy(key, nowMs).message, /held by another program: key \/lock\/1f, lease 1f$/);
  assert.match(lockedBy({ ...key, leaseId: '0' }, nowMs).message, /key \/lock\/1f, without a lease$/);
});

test('A step that another event has brought already is not run twice; one that is next, or whose own delivery holds the lock, waits.', () => {
  const request: Backfill = {
    ...{ kind: 'backfill', backfillId: 'may', step: 3, waitSeconds: 60, dryRun: false },
  };
  const holder = {
    key: '/lock/1',
    leaseId: '1',
    createRevision: '7',
    runId: 'run-1',
    requestId: 'a',
    backfillId: 'may',
    step: 3,
  };
  const skipOf = (...[asked, held, requestId]: [Backfill, Holder | undefined, string]) =>
    isUnderWay(asked, held, requestId)?.reason;
  assert.equal(skipOf(request, holder, 'b'), 'duplicate');
  // The holder has an old event, and will find that out.
  assert.equal(skipOf(request, { ...holder, step: 2 }, 'b'), undefined);
  assert.equal(skipOf(request, holder, 'a'), undefined);
  assert.equal(skipOf({ ...request, step: 4 }, holder, 'b'), undefined);
  assert.equal(skipOf(request, { ...holder, backfillId: 'june' }, 'b'), undefined);
  assert.equal(skipOf(request, undefined, 'b'), undefined);
  // The key may be that of its own last wait.
  assert.equal(skipOf({ ...request, waited: true }, holder, 'b'), undefined);
  const { step: _, ...byHand } = request;
  assert.equal(skipOf(byHand, holder, 'b'), undefined);
});
