import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { leftBehind, lockByHand, lockKeys, NOTHING, untilKeys } from '../support/lock.ts';
import { stored, untilWriting } from '../support/running.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
let lockKey = '';
before(async () => {
  etcd = await startEtcd();
});
// Neither key nor lease outlives a run, however it ended.
afterEach(async () => assert.deepEqual(await leftBehind(etcd, lockKey), NOTHING));
after(() => etcd[Symbol.asyncDispose]());

const models = (count: number) => Array.from({ length: count }, (_, index) => model(index));

async function worldOf(count: number, options: { latencyMs?: number; env?: Record<string, string> } = {}) {
  const world = await startWorld({ endpoints: etcd.endpoints, records: models(count), ...options });
  lockKey = world.env.LOCK_KEY!;
  return world;
}

test('A tick copies everything, counts it, and leaves its record and no skips.', async () => {
  await using world = await worldOf(700);
  const result = await world.tick({ scheduledTime: '2026-11-24T12:15:00Z' });
  assert.equal(result.status, 'completed');
  assert.equal(result.job, 'models');
  assert.match(result.runId, /^[0-9a-f-]{36}$/);
  assert.match(result.fencingToken ?? '', /^\d+$/);
  const { durationMs, peakInFlight, ...counts } = result.report;
  assert.deepEqual(counts, {
    ...{ read: 700, written: 700, unchanged: 0, removed: 0, invalid: 0, failed: 0, missing: 0, unsettled: 0, pages: 2 },
  });
  assert.ok(peakInFlight > 1 && peakInFlight <= 50 && durationMs > 0);

  const { id, ...body } = model(7);
  assert.deepEqual(world.target.models.get(id), body);
  assert.equal(world.target.models.size, 700);
  assert.ok(world.target.writes.every(({ scope, token }) => scope === lockKey && token === result.fencingToken));
  assert.ok(world.target.writes.every(({ idempotencyKey }) => idempotencyKey.startsWith(result.runId)));

  const { heldBy, paused, consecutiveSkips, lastRun, failed } = await world.control({ action: 'status' });
  assert.deepEqual([heldBy, paused, consecutiveSkips, failed], [undefined, false, 0, []]);
  assert.partialDeepStrictEqual(lastRun, {
    ...{ runId: result.runId, kind: 'tick', status: 'completed', fencingToken: result.fencingToken },
    report: result.report,
  });
});

test('The same scheduled time again is a duplicate, and so is an earlier one; the next one runs.', async () => {
  await using world = await worldOf(1);
  const tick = (minute: number) => world.tick({ kind: 'tick', scheduledTime: `2026-01-24T12:${minute}:00Z` });
  assert.equal((await tick(15)).status, 'completed');
  for (const minute of [15, 10]) {
    const { status, reason, message, report } = await tick(minute);
    assert.deepEqual([status, reason, report.read], ['skipped', 'duplicate', 0]);
    assert.match(message ?? '', /has been done/);
  }
  assert.equal((await tick(30)).status, 'completed');
  assert.equal((await world.control({ action: 'status' })).consecutiveSkips, 0);
});

test('A tick sent by hand with a future time makes no earlier tick a duplicate.', async () => {
  await using world = await worldOf(1);
  const outcome = async (scheduledTime: string) => {
    const { status, reason } = await world.tick({ scheduledTime });
    return reason ?? status;
  };
  assert.equal(await outcome('2099-01-01T00:00:00Z'), 'completed');
  assert.equal(await outcome('2099-01-01T00:00:00Z'), 'duplicate');
  assert.equal(await outcome('2026-01-01T00:15:00Z'), 'completed');
  assert.equal(await outcome('2026-01-01T00:15:00Z'), 'duplicate');
  assert.equal(await outcome('2026-01-01T00:10:00Z'), 'duplicate');
});

test('A failed tick does not count as done: delivered again, it runs.', async () => {
  await using world = await worldOf(1);
  const event = { scheduledTime: '2026-11-24T12:15:00Z' };
  world.source.credentials = { username: 'somebody', password: 'else' };
  await assert.rejects(world.tick(event), { name: 'CredentialsError' });
  const { lastRun, heldBy } = await world.control({ action: 'status' });
  assert.deepEqual([lastRun?.status, lastRun?.error?.code, heldBy], ['failed', 'CREDENTIALS', undefined]);
  world.source.credentials = { username: 'reader', password: 'reader-password' };
  assert.equal((await world.tick(event)).status, 'completed');
});

test('A tick beyond its starting deadline is stale, and one within the minimum interval is skipped.', async () => {
  const env = { STARTING_DEADLINE_SECONDS: '60', MIN_INTERVAL_SECONDS: '3600' };
  await using world = await worldOf(1, { env });
  const late = await world.tick({ scheduledTime: '2026-01-01T00:00:00Z' });
  assert.deepEqual([late.status, late.reason], ['skipped', 'stale']);
  assert.equal((await world.tick({ scheduledTime: new Date().toISOString() })).status, 'completed');
  const soon = await world.tick();
  assert.deepEqual([soon.status, soon.reason], ['skipped', 'min-interval']);
  assert.equal(world.target.writes.length, 1);
});

test('A paused job skips its ticks with the note, lets a backfill run, and runs again once resumed.', async () => {
  await using world = await worldOf(3);
  await world.control({ action: 'pause', note: 'target is being migrated' });
  const skipped = await world.tick();
  assert.deepEqual([skipped.status, skipped.reason], ['skipped', 'paused']);
  assert.match(skipped.message ?? '', /target is being migrated/);
  assert.equal(world.target.writes.length, 0);
  assert.equal((await world.backfill()).report.written, 3);
  await world.control({ action: 'resume' });
  assert.equal((await world.tick()).status, 'completed');
});

test('A tick that finds another run in progress is skipped and names that run.', async () => {
  await using world = await worldOf(500, { latencyMs: 500 });
  const first = world.tick();
  await untilWriting(world, first);
  const second = await world.tick();
  world.target.latencyMs = 0;
  const { runId, fencingToken, status } = await first;
  assert.equal(status, 'completed');
  assert.deepEqual([second.status, second.reason], ['skipped', 'locked']);
  const { heldBy } = second;
  assert.deepEqual([heldBy?.runId, heldBy?.kind, heldBy?.createRevision], [runId, 'tick', fencingToken]);
  assert.equal(heldBy?.key, `${lockKey}/${heldBy?.leaseId}`);
  assert.equal(world.target.writes.length, 500);
});

test('`etcdctl lock` held in a terminal makes ticks skip and counts them; the next completed one ends the row.', async () => {
  await using world = await worldOf(2);
  {
    await using terminal = lockByHand(etcd, lockKey);
    const key = await terminal.acquired;
    for (let times = 1; times <= 3; times++) {
      const { status, reason, message, heldBy } = await world.tick();
      assert.deepEqual([status, reason, heldBy?.key], ['skipped', 'locked', key]);
      assert.match(message ?? '', new RegExp(`held by another program: key ${key}, lease ${heldBy?.leaseId}$`));
      assert.equal((await world.control({ action: 'status' })).consecutiveSkips, times);
    }
    assert.equal((await world.backfill()).reason, 'locked');
    assert.equal((await world.control({ action: 'status' })).consecutiveSkips, 3);
    const warnings = world.lines.filter(({ level }) => level === 'warn');
    assert.deepEqual(
      warnings.map(({ message }) => message),
      ['3 ticks in a row were skipped because the lock is held'],
    );
  }
  assert.equal(world.target.writes.length, 0);
  assert.equal((await world.tick()).status, 'completed');
  assert.equal((await world.control({ action: 'status' })).consecutiveSkips, 0);
});

test('A running tick makes `etcdctl lock` wait until its last write is done.', async () => {
  await using world = await worldOf(1200, { latencyMs: 400 });
  const tick = world.tick();
  await untilWriting(world, tick);
  await using terminal = lockByHand(etcd, lockKey);
  await untilKeys(etcd, lockKey, 2);
  let writesThen = -1;
  const acquired = terminal.acquired.then(() => {
    writesThen = world.target.writes.length;
  });
  assert.ok(world.target.writes.length < 1200);
  world.target.latencyMs = 0;
  assert.equal((await tick).status, 'completed');
  await acquired;
  assert.equal(writesThen, 1200);
});

test('A backfill waits in the same queue as `etcdctl lock`, and runs when its turn comes.', async () => {
  await using world = await worldOf(3);
  const terminal = lockByHand(etcd, lockKey);
  await terminal.acquired;
  const backfill = world.backfill({ waitSeconds: 30 });
  await untilKeys(etcd, lockKey, 2);
  assert.equal(world.target.writes.length, 0);
  await terminal[Symbol.asyncDispose]();
  assert.equal((await backfill).report.written, 3);
});

test('A backfill that does not get the lock in time is skipped and leaves the queue.', async () => {
  await using world = await worldOf(3);
  await using terminal = lockByHand(etcd, lockKey);
  const key = await terminal.acquired;
  const { status, reason, heldBy } = await world.backfill({ waitSeconds: 1 });
  assert.deepEqual([status, reason, heldBy?.key], ['skipped', 'locked', key]);
  assert.deepEqual(await lockKeys(etcd, lockKey), [key]);
});

test('A backfill by ids writes only these, counts the ones that the source does not know, and leaves the timer’s state alone.', async () => {
  await using world = await worldOf(30);
  await world.tick({ scheduledTime: '2026-11-24T12:15:00Z' });
  // What the tick has left at the target is forgotten, because the backfill may write over it.
  await etcd.etcdctl(['del', `${world.prefix}/state/recent`]);
  const before = await stored(etcd, world.prefix, 'backfill', 'history');
  assert.ok(before.length >= 3);
  world.target.models.clear();
  const ids = ['model-00003', 'no/such model', 'model-00007', 'model-00003'];
  const { status, report, problems } = await world.backfill({ ids });
  assert.equal(status, 'completed');
  assert.deepEqual([report.read, report.written, report.missing], [2, 2, 1]);
  assert.deepEqual(
    problems?.map(({ id, kind }) => [id, kind]),
    [['no/such model', 'missing']],
  );
  assert.deepEqual([...world.target.models.keys()].sort(), ['model-00003', 'model-00007']);
  assert.deepEqual(await stored(etcd, world.prefix, 'backfill', 'history'), before);
  const { lastBackfill, lastRun } = await world.control({ action: 'status' });
  assert.deepEqual([lastBackfill?.kind, lastBackfill?.status, lastRun?.kind], ['backfill', 'completed', 'tick']);
});

test('A backfill’s window includes its beginning and excludes its end.', async () => {
  await using world = await worldOf(10);
  const at = (minute: number) => `2026-01-01T00:0${minute}:00Z`;
  const { report } = await world.backfill({ since: at(3), until: at(6) });
  assert.equal(report.written, 3);
  assert.deepEqual([...world.target.models.keys()].sort(), ['model-00003', 'model-00004', 'model-00005']);
  assert.ok(world.source.requests.every((path) => /since=2026-01-01T00%3A03%3A00.000Z/.test(path)));
  assert.equal((await world.backfill({ since: at(8) })).report.written, 2);
  assert.equal((await world.backfill({ until: at(1) })).report.written, 1);
});
