import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Backfill } from '../../lib/backfill-event.ts';
import type { Tick } from '../../lib/event.ts';
import type { Job } from '../../lib/job-types.ts';
import { planPass } from '../../lib/run/plan.ts';
import { job as shipped } from '../support/job.ts';
import { recordedLog } from '../support/recorded-log.ts';

const startedAt = '2026-01-05T12:00:00.000Z';
const initialSince = '2025-01-01T00:00:00.000Z';
const watermark = { at: '2026-01-05T11:00:00.000Z', fullAt: '2026-01-05T00:00:00.000Z' };
const tick: Tick = { kind: 'tick' };
const backfill: Backfill = { kind: 'backfill', waitSeconds: 0, dryRun: false };

function plan(
  request: Tick | Backfill,
  what: {
    job?: { updatedAt?: undefined; source?: Job<never>['source'] };
    state?: Parameters<typeof planPass>[2]['state'];
    settings?: Partial<Parameters<typeof planPass>[2]['settings']>;
  } = {},
) {
  const { log, lines } = recordedLog();
  const settings = { source: { url: 'http://source' }, initialSince, fullEveryHours: undefined, ...what.settings };
  const options = { state: what.state ?? {}, settings, runId: 'run-2', startedAt, log };
  const pass = planPass({ ...shipped, ...what.job } as unknown as Job<never>, request, options);
  const warnings = lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
  return { pass, warnings, startsOver: lines.some(({ message }) => /starts over/.test(message)) };
}

test('A tick begins a pass of its own, over everything or over what changed since the watermark.', () => {
  const begun = { runId: 'run-2', startedAt, cursor: null };
  assert.partialDeepStrictEqual(plan(tick).pass, { ...begun, full: true, since: initialSince });
  assert.partialDeepStrictEqual(plan(tick, { state: { watermark } }).pass, {
    ...begun,
    full: false,
    since: watermark.at,
  });
  const settings = { fullEveryHours: 12 };
  assert.partialDeepStrictEqual(plan(tick, { state: { watermark }, settings }).pass, {
    full: true,
    since: initialSince,
  });
  assert.equal(plan(tick, { state: { watermark }, settings: { fullEveryHours: 13 } }).pass.full, false);
});

test('A watermark in the future is not believed, which is warned of; that of this moment is.', () => {
  const after = '2026-01-05T12:00:00.001Z';
  const future = plan(tick, { state: { watermark: { at: after } } });
  assert.deepEqual([future.pass.full, future.pass.since], [true, initialSince]);
  assert.deepEqual(future.warnings, [
    `the watermark ${after} is in the future, so it is not believed: everything is read`,
  ]);
  for (const state of [{}, { watermark }, { watermark: { at: startedAt } }])
    assert.deepEqual(plan(tick, { state }).warnings, []);
});

test('A tick of a job whose records have no time of change reads everything.', () => {
  const { full, since } = plan(tick, { job: { updatedAt: undefined }, state: { watermark } }).pass;
  assert.deepEqual([full, since], [true, undefined]);
});

test('A tick goes on with the timer’s pass, and a backfill with its own.', () => {
  const mine = { ...plan(tick, { state: { watermark } }).pass, runId: 'run-1', cursor: 'b' };
  const failed: [] = [];
  const state = { watermark, checkpoint: { pass: mine, failed, deadLettered: [] } };
  assert.equal(plan(tick, { state }).pass, mine);
  assert.equal(plan({ ...backfill, since: initialSince }, { state }).pass.runId, 'run-2');

  const theirs = { ...plan({ ...backfill, since: initialSince }).pass, runId: 'run-1', cursor: 'b' };
  const saved = { backfillProgress: { pass: theirs, failed } };
  assert.equal(plan({ ...backfill, backfillId: 'run-1' }, { state: saved }).pass, theirs);
  assert.equal(plan(tick, { state: saved }).pass.runId, 'run-2');
});

test('A backfill covers the window of its event, and is no full pass.', () => {
  const until = '2025-02-01T00:00:00.000Z';
  const { pass } = plan({ ...backfill, since: initialSince, until });
  assert.partialDeepStrictEqual(pass, {
    since: initialSince,
    until,
    full: false,
    byIds: false,
    runId: 'run-2',
    startedAt,
  });
  assert.equal(plan({ ...backfill, ids: ['a'] }).pass.byIds, true);
});

test('A backfill that names an earlier one has to fit it, and a tick is not asked.', () => {
  assert.throws(() => plan({ ...backfill, backfillId: 'gone' }), { name: 'EventError' });
  plan(tick);
});

test('A cursor belongs to the source’s address, the paging, the shard, and the very ids that were asked for.', () => {
  const idsOf = (...ids: string[]) => ({ ...backfill, ids, backfillId: 'b' });
  const resume = (request: Tick | Backfill, what: Parameters<typeof plan>[1], then = what, next = request) => {
    const { pass } = plan(request, what);
    const state = { checkpoint: { pass, failed: [], deadLettered: [] }, backfillProgress: { pass, failed: [] } };
    return plan(next, { ...then, state }).startsOver;
  };
  assert.equal(resume(tick, {}), false);
  assert.equal(resume(tick, {}, { settings: { source: { url: 'http://another' } } }), true);
  assert.equal(resume(tick, {}, {}, { ...tick, shard: { index: 0, of: 2 } }), true);
  assert.equal(resume(idsOf('a', 'b'), {}), false);
  assert.equal(resume(idsOf('a', 'b'), {}, {}, idsOf('b', 'a')), true);
  assert.equal(resume(idsOf('a', 'bc'), {}, {}, idsOf('ab', 'c')), true);

  // A listing of the job's own is known by its style, or else by the name of its function.
  const list = async function* listed() {};
  const other = async function* other() {};
  const listing = (one: object) => ({ job: { source: { ...shipped.source, list: one } as never } });
  assert.equal(resume(tick, listing(list), listing(other)), true);
  const [styled, same] = [Object.assign(list, { style: 's' }), Object.assign(other, { style: 's' })];
  assert.equal(resume(tick, listing(styled), listing(same)), false);
  assert.equal(
    resume(backfill, listing(list), listing(Object.assign(async function* listed() {}, { style: 't' }))),
    true,
  );
});
