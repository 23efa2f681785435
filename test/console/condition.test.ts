import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JobView } from '../../infra/console/api.ts';
import { nextDue } from '../../infra/console/next-due.ts';
import { conditionOf, lagMs } from '../../infra/console/page/condition.ts';
import { clock, columnsOf, ticksUpTo } from '../../infra/console/page/plot-data.ts';
import { stripOf } from '../../infra/console/page/runs.ts';
import type { PastRun, Status } from '../../lib/run/status.ts';
import { sampleHistory, sampleStatus } from './sample.ts';

const nowMs = Date.parse('2026-11-24T13:30:00Z');
const sample = sampleStatus('models', nowMs);
const { heldBy, removals: _, ...free } = sample;
const lastRun = sample.lastRun!;
const viewOf = (status: Status, more: Partial<JobView> = {}): JobView => ({
  job: 'models',
  shards: 1,
  status,
  ...more,
});
const said = (view: JobView) => {
  const { condition, sentences } = conditionOf(view, nowMs);
  return `${condition}: ${sentences.join(' ')}`;
};

test('A job runs where the lock is held, by us or by another program, whatever else is true of it.', () => {
  assert.match(
    said(viewOf(sample)),
    /^running: A backfill holds the lock for 41 s on 10\.0\.3\.17, fencing token 412\./,
  );
  const { runId: _, ...foreign } = heldBy!;
  assert.match(
    said(viewOf({ ...sample, heldBy: foreign })),
    /^running: Another program holds the lock: key \/solotick/,
  );
  const pause = { since: '2026-11-24T13:00:00Z', note: 'a move' };
  assert.match(said(viewOf({ ...sample, pause })), /^running: .* The timer is paused since .*: a move\.$/);
  const shards = [sample, { ...free, lockKey: '/other' }];
  assert.match(said(viewOf({ ...free, shards })), /^running: 1 of 2 shards run\./);
  assert.match(said(viewOf({ ...sample, consecutiveSkips: 3 })), / 3 ticks in a row found the lock held\./);
});

test('A job is failing where its last tick failed, in any shard, and paused where it is paused.', () => {
  const error = { name: 'SourceError', code: 'SOURCE', message: 'status 500' };
  const failed: Status = { ...free, lastRun: { ...lastRun, status: 'failed', error } };
  assert.match(said(viewOf(failed)), /^failing: The last tick failed .* ago: SourceError: status 500/);
  assert.match(said(viewOf({ ...free, shards: [free, failed] })), /^failing: /);
  assert.match(
    said(viewOf({ ...failed, pause: { since: '2026-11-24T13:00:00Z' } })),
    /^paused: .* The last tick failed/,
  );
});

test('A job that waits says when the next tick is due, or why that is not known.', () => {
  const timer = { expression: 'rate(15 minutes)', timezone: 'UTC', enabled: true };
  const due = viewOf(free, { timer, nextDue: '2026-11-24T13:31:05Z' });
  assert.match(said(due), /^waiting: The next tick is due in 1 min 5 s, at /);
  assert.equal(said(viewOf(free, { timer })), 'waiting: Ticks come by rate(15 minutes).');
  assert.equal(said(viewOf(free, { timer: { ...timer, enabled: false } })), 'waiting: The schedule is switched off.');
  assert.match(said(viewOf({ ...free, notBefore: '2026-11-24T13:40:00Z' })), /A server wants to be left alone until/);
});

test('The lag counts from the start of the last completed run, in shards of the oldest, and of none that never completed.', () => {
  const since = (at: string) => ({ ...free, lastCompletedStartedAt: at });
  assert.equal(lagMs(since('2026-11-24T13:29:00Z'), nowMs), 60_000);
  const shards = [since('2026-11-24T13:29:00Z'), since('2026-11-24T13:00:00Z')];
  assert.equal(lagMs({ ...free, shards }, nowMs), 1_800_000);
  const { lastCompletedStartedAt: _, ...never } = free;
  assert.equal(lagMs({ ...free, shards: [free, never] }, nowMs), undefined);
});

test('The strip shows the runs from the oldest to the newest, with gaps where nothing ran and where ticks were skipped.', () => {
  const items = stripOf(free, nowMs);
  const runs = items.flatMap((item) => (item.kind === 'run' ? [item] : []));
  assert.deepEqual(
    runs.map(({ run }) => run.runId),
    free.history.map(({ runId }) => runId).toReversed(),
  );
  assert.ok(runs.every(({ height }) => height > 0 && height <= 1));
  assert.equal(Math.max(...runs.map(({ height }) => height)), 1);
  const gaps = items.flatMap((item) => (item.kind === 'gap' ? [item.label] : []));
  assert.deepEqual(gaps, ['Nothing ran for 2 h 29 min', '2 ticks found the lock held and were skipped']);
  // Later, when nothing has run for long, that is a gap as well; not while something runs.
  const hourLater = nowMs + 3_600_000;
  assert.match(stripOf(free, hourLater).at(-1)!.label, /^Nothing ran for 1 h 10 min$/);
  assert.equal(stripOf({ ...free, heldBy: heldBy! }, hourLater).at(-1)!.kind, 'run');
  assert.deepEqual(stripOf({ ...free, history: [] }, nowMs), []);
  assert.equal(stripOf({ ...free, history: sampleHistory(nowMs).slice(0, 1) }, nowMs).length, 1);
});

test('Times below the plot have seconds where they lie less than a minute apart, so that no two are the same.', () => {
  const at = Date.parse('2026-11-24T13:25:30Z') / 1000;
  assert.match(clock(at, 60), /^\d\d:25$/);
  assert.match(clock(at, 30), /^\d\d:25:30$/);
});

test('A line of the plot ends where nothing ran.', () => {
  const [seconds, written] = columnsOf(stripOf(free, nowMs));
  assert.equal(seconds.length, free.history.length + 1);
  assert.deepEqual(
    seconds,
    seconds.toSorted((a, b) => a - b),
  );
  assert.equal(written!.filter((count) => count === null).length, 1);
  assert.deepEqual(ticksUpTo(13), [0, 1, 10]);
  assert.deepEqual(ticksUpTo(130), [0, 10, 100]);
  assert.deepEqual(ticksUpTo(13_000), [0, 10, 100, 1000, 10_000]);
});

test('Shards that run side by side leave no gap between their runs, and the plot has them in the order of their ends.', () => {
  const [run] = free.history as [PastRun];
  const at = (ms: number) => new Date(ms).toISOString();
  const history = Array.from({ length: 12 }, (_, index): PastRun => {
    // Three shards start within a second every quarter of an hour, and the first takes longest.
    const part = 2 - (index % 3);
    const startMs = nowMs - 600_000 - Math.floor(index / 3) * 900_000 + part * 300;
    const endedAt = at(startMs + (part === 0 ? 500_000 : 2000));
    return { ...run, runId: `run-${index}`, startedAt: at(startMs), endedAt, shard: { index: part, of: 3 } };
  });
  const items = stripOf({ ...free, history }, nowMs);
  assert.deepEqual(
    items.map(({ kind }) => kind),
    history.map(() => 'run'),
  );
  const [seconds] = columnsOf(items);
  assert.deepEqual(
    seconds,
    seconds.toSorted((a, b) => a - b),
  );
});

test('When the next tick is due is known of cron, of a rate that began or has ticked, and not of a schedule that is off.', () => {
  const now = new Date('2026-11-24T13:31:00Z');
  const rate = { expression: 'rate(15 minutes)', timezone: 'UTC', enabled: true };
  assert.equal(nextDue(rate, undefined, now), undefined);
  assert.equal(nextDue(rate, '2026-11-24T13:04:10Z', now), '2026-11-24T13:34:10.000Z');
  assert.equal(nextDue({ ...rate, start: '2026-11-24T13:00:00Z' }, undefined, now), '2026-11-24T13:45:00.000Z');
  const every = { ...rate, everyMs: 10_000, start: '2026-11-24T13:30:55Z' };
  assert.equal(nextDue(every, undefined, now), '2026-11-24T13:31:05.000Z');
  const cron = { ...rate, expression: 'cron(0 8 * * ? *)', timezone: 'Europe/Berlin' };
  assert.equal(nextDue(cron, undefined, now), '2026-11-25T07:00:00.000Z');
  assert.equal(nextDue({ ...cron, enabled: false }, undefined, now), undefined);
});
