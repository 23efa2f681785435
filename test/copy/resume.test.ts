import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { LockServiceError } from '../../lib/errors.ts';
import { job } from '../support/job.ts';
import { failureOf, keysOf } from '../support/locking.ts';
import { until } from '../support/pipeline.ts';
import { untilWriting } from '../support/running.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { model, startWorld, withoutReasons } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

type World = Awaited<ReturnType<typeof startWorld>>;

/** Stops a run as its deadline would, once the target has 120 records: more than two pages of 50. */
async function interrupted<T>(world: World, start: (stop: AbortSignal) => Promise<T>): Promise<T> {
  // Long enough for all writes in flight to end by themselves.
  world.env.DEADLINE_RESERVE_SECONDS = '20';
  const stop = new AbortController();
  const running = start(stop.signal);
  await until(() => world.target.writes.length >= 120);
  stop.abort();
  return await running;
}

const models = (count: number) => Array.from({ length: count }, (_, index) => model(index));

test('A run that has to stop is partial, and the next one goes on behind the pages that were settled.', async () => {
  await using world = await startWorld({
    endpoints: etcd.endpoints,
    records: models(2000),
    latencyMs: 20,
    pageSize: 50,
  });
  const first = await interrupted(world, (stop) => world.tick({}, 60_000, stop));
  assert.equal(first.status, 'partial');
  assert.equal(first.reason, 'deadline');
  const { read, written, invalid, failed, unsettled } = first.report;
  assert.equal(read, written + invalid + failed + unsettled);
  assert.ok((first.pass?.read ?? 0) >= 50 && (first.pass?.read ?? 0) < 2000);
  const { unfinishedPass } = await world.control({ action: 'status' });
  assert.equal(unfinishedPass?.runId, first.runId);

  world.target.latencyMs = 0;
  const second = await world.tick();
  assert.equal(second.status, 'completed');
  assert.equal(second.report.read, 2000 - (first.pass?.read ?? 0));
  assert.equal(second.pass?.read, 2000);
  assert.equal(second.pass?.written, 2000);
  assert.equal(world.target.models.size, 2000);
  assert.equal((await world.control({ action: 'status' })).unfinishedPass, undefined);
});

test('A run that settles no page before its deadline is an error, because the next one would get no further.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(600), latencyMs: 8000 });
  await assert.rejects(world.tick({}, 6000), { name: 'NoProgressError', code: 'NO_PROGRESS' });
  const { heldBy, lastRun } = await world.control({ action: 'status' });
  assert.equal(heldBy, undefined);
  assert.equal(lastRun?.status, 'failed');
  assert.equal(lastRun?.error?.name, 'NoProgressError');
});

test('After a completed pass only what changed since is read, and a record dated 2099 does not end that.', async () => {
  const records = [model(1), model(2), { ...model(3), updatedAt: '2099-01-01T00:00:00.000Z' }];
  await using world = await startWorld({ endpoints: etcd.endpoints, records });
  assert.equal((await world.tick()).report.written, 3);
  const { watermark } = await world.control({ action: 'status' });
  assert.ok(watermark && watermark.at < new Date().toISOString());
  world.source.records.push({ ...model(4), updatedAt: new Date().toISOString() });
  const second = await world.tick();
  assert.equal(second.report.read, 2);
  assert.ok(world.target.models.has('model-00004'));
});

test('INITIAL_SINCE bounds the first pass, and FULL_EVERY_HOURS makes a full one due again.', async () => {
  const env = { INITIAL_SINCE: '2026-01-01T00:02:00Z', FULL_EVERY_HOURS: '1' };
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(5), env });
  assert.equal((await world.tick()).report.read, 3);
  world.env.WATERMARK_OVERLAP_SECONDS = '0';
  assert.equal((await world.tick()).report.read, 2);
  // As if the last full pass had been long ago.
  const key = `${world.prefix}/state/watermark`;
  await etcd.etcdctl([
    'put',
    key,
    JSON.stringify({ at: '2026-01-01T00:04:00.000Z', fullAt: '2026-01-01T00:00:00.000Z' }),
  ]);
  assert.equal((await world.tick()).report.read, 3);
});

test('A record that failed does not hold the watermark back: it is read again by id until it is written.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(10) });
  world.source.records[3] = { ...model(3), name: 'refused' };
  world.target.refuse = (body) => (Object(body).name === 'refused' ? 422 : undefined);
  const first = await world.tick();
  assert.equal(first.status, 'completed');
  assert.equal(first.report.failed, 1);
  assert.deepEqual(
    first.problems?.map(({ id, kind }) => ({ id, kind })),
    [{ id: 'model-00003', kind: 'failed' }],
  );
  assert.deepEqual(withoutReasons(await world.control({ action: 'status' })), [{ id: 'model-00003', attempts: 1 }]);

  world.target.refuse = undefined;
  await world.tick();
  assert.deepEqual((await world.control({ action: 'status' })).failed, []);
  assert.ok(world.target.models.has('model-00003'));
});

test('A failed record whose id the schema has changed is read again as well.', async () => {
  const record = v.pipe(
    job.record as v.GenericSchema<unknown, ReturnType<typeof model>>,
    v.transform((model) => ({ ...model, id: model.id.slice('model-'.length) })),
  );
  const source = { one: (id: string) => `/v1/models/model-${id}` };
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(3), job: { record, source } });
  world.target.refuse = (body) => (Object(body).name === 'Model 1' ? 422 : undefined);
  await world.tick();
  assert.deepEqual(withoutReasons(await world.control({ action: 'status' })), [{ id: '00001', attempts: 1 }]);
  world.target.refuse = undefined;
  const second = await world.tick();
  assert.equal(second.problems, undefined);
  assert.ok(world.target.models.has('00001'));
});

test('A checkpoint of another source, or a cursor that the source refuses, starts the same window over.', async () => {
  await using world = await startWorld({
    endpoints: etcd.endpoints,
    records: models(2000),
    latencyMs: 20,
    pageSize: 50,
  });
  await interrupted(world, (stop) => world.tick({}, 60_000, stop));
  world.target.latencyMs = 0;
  const key = `${world.prefix}/state/checkpoint`;
  const saved = JSON.parse((await etcd.etcdctl(['get', '--print-value-only', key])).trim());
  const wrong = { ...saved, pass: { ...saved.pass, cursor: 'no such cursor' } };
  await etcd.etcdctl(['put', key, JSON.stringify(wrong)]);
  const second = await world.tick();
  assert.equal(second.status, 'completed');
  // The list is ordered by time, so the pass goes on a minute, which is a record, before what it had settled.
  assert.equal(second.report.read, 2000 - saved.pass.counts.read + 1 + 1);
  assert.equal(world.target.models.size, 2000);
  assert.ok(world.lines.some(({ message }) => /no longer takes the saved cursor: it is read again from/.test(message)));

  const unordered = { ...saved.pass, cursor: 'no such cursor', listed: { ...saved.pass.listed, ordered: false } };
  await etcd.etcdctl(['put', key, JSON.stringify({ ...saved, pass: unordered })]);
  const again = await world.tick();
  assert.equal(again.report.read, 2000);
  assert.equal(again.pass?.read, 2000);
  assert.ok(world.lines.some(({ message }) => /the same window starts over/.test(message)));

  await etcd.etcdctl(['put', key, JSON.stringify({ ...saved, pass: { ...saved.pass, fingerprint: 'another' } })]);
  const third = await world.tick();
  assert.equal(third.report.read, 2000);
  assert.equal(third.status, 'completed');
});

test('A source that answers 404 to everything for a while costs no progress.', async () => {
  const options = { endpoints: etcd.endpoints, records: models(1000), latencyMs: 20, pageSize: 50 };
  await using world = await startWorld(options);
  const first = await interrupted(world, (stop) => world.tick({}, 60_000, stop));
  world.target.latencyMs = 0;
  world.source.refuse = () => 404;
  await assert.rejects(world.tick(), { name: 'SourceError', status: 404 });
  assert.ok(!world.lines.some(({ message }) => /starts over/.test(message)));
  world.source.refuse = undefined;
  const third = await world.tick();
  assert.equal(third.report.read, 1000 - (first.pass?.read ?? 0));
  assert.equal(third.pass?.read, 1000);
});

test('A target that is down ends the run with an error, and what failed in a row is read again.', async () => {
  const env = { FAILURES_BEFORE_STOP: '10', CONCURRENCY: '5' };
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(1200), env });
  let writes = 0;
  world.target.refuse = () => (++writes > 700 ? 503 : undefined);
  await assert.rejects(world.tick(), { name: 'TargetDownError', code: 'TARGET_DOWN' });
  const status = await world.control({ action: 'status' });
  assert.equal(status.lastRun?.report.failed, 0);
  assert.deepEqual(status.failed, []);
  world.target.refuse = undefined;
  assert.equal((await world.tick()).status, 'completed');
  assert.equal(world.target.models.size, 1200);
});

test('A partial backfill is continued by its id, and leaves the timer’s own state alone.', async () => {
  await using world = await startWorld({
    endpoints: etcd.endpoints,
    records: models(2000),
    latencyMs: 20,
    pageSize: 50,
  });
  const window = { since: '2026-01-01T00:00:00Z', until: '2026-01-02T06:00:00Z' };
  const first = await interrupted(world, (stop) => world.backfill(window, 60_000, stop));
  assert.equal(first.status, 'partial');
  world.target.latencyMs = 0;
  const second = await world.backfill({ backfillId: first.backfillId });
  assert.equal(second.status, 'completed');
  assert.equal(second.pass?.read, 1800);
  assert.equal(world.target.models.size, 1800);
  const status = await world.control({ action: 'status' });
  assert.equal(status.watermark, undefined);
  assert.equal(status.lastRun, undefined);
  await assert.rejects(world.backfill({ backfillId: first.backfillId }), { name: 'EventError' });
});

test('A partial backfill of single records is continued only with its ids, and behind the records that are done.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(2000), latencyMs: 20 });
  const ids = models(2000).map(({ id }) => id);
  const first = await interrupted(world, (stop) => world.backfill({ ids }, 60_000, stop));
  assert.equal(first.status, 'partial');
  const { backfillId } = first;
  await assert.rejects(world.backfill({ backfillId }), { name: 'EventError', message: /name its ids again/ });
  world.target.latencyMs = 0;
  const second = await world.backfill({ backfillId, ids });
  assert.equal(second.report.read, 2000 - (first.pass?.read ?? 0));
  assert.equal(second.pass?.written, 2000);
});

test('A reset moves the watermark, forgets the checkpoint or the failed records, and names the holder that is in its way.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(10) });
  await world.tick();
  const moved = await world.control({ action: 'reset', what: 'watermark', to: '2026-01-01T00:08:00Z' });
  assert.equal(moved.watermark?.at, '2026-01-01T00:08:00.000Z');
  assert.equal(moved.heldBy, undefined);
  assert.equal((await world.tick()).report.read, 2);
  await world.control({ action: 'reset', what: 'watermark' });
  assert.equal((await world.tick()).report.read, 10);

  const writing = world.target.nextRequest();
  // The backfill still holds the lock when the reset below has been refused.
  world.target.latencyMs = 5000;
  const running = world.backfill();
  await writing;
  const refused = await world.control({ action: 'reset', what: 'failed' });
  assert.equal(refused.skipped?.reason, 'locked');
  assert.equal(refused.skipped?.heldBy?.kind, 'backfill');
  await running;
});

test('A reset of the watermark gives up an unfinished pass, because its end would set the watermark anew.', async () => {
  await using world = await startWorld({
    endpoints: etcd.endpoints,
    records: models(2000),
    latencyMs: 20,
    pageSize: 50,
  });
  assert.equal((await interrupted(world, (stop) => world.tick({}, 60_000, stop))).status, 'partial');
  const to = '2026-01-01T00:08:00.000Z';
  const { watermark, unfinishedPass } = await world.control({ action: 'reset', what: 'watermark', to });
  assert.deepEqual([watermark?.at, unfinishedPass], [to, undefined]);
});

test('A dry run reads and checks, says what it would write, takes no lock and writes nothing.', async () => {
  const records = [...models(30), { id: 'broken' }];
  await using world = await startWorld({ endpoints: ['http://127.0.0.1:9'], records });
  const { status, dryRun, report, wouldWrite, fencingToken } = await world.backfill({ dryRun: true });
  assert.deepEqual({ status, dryRun, fencingToken }, { status: 'completed', dryRun: true, fencingToken: undefined });
  assert.equal(report.written, 30);
  assert.equal(report.invalid, 1);
  assert.equal(wouldWrite?.length, 20);
  assert.equal(world.target.models.size, 0);
});

test('A dry run counts a record as failed if the job cannot make a request of it, and calls no push.', async () => {
  const endpoints = ['http://127.0.0.1:9'];
  const write = ({ id }: { id: string }) => {
    if (id === 'model-00001') throw new TypeError('no such field');
    return { method: 'PUT', path: `/${id}`, body: {} } as const;
  };
  await using world = await startWorld({ endpoints, records: models(3), writes: { write } });
  const { report, problems, wouldWrite } = await world.backfill({ dryRun: true });
  assert.deepEqual([report.read, report.written, report.failed], [3, 2, 1]);
  assert.deepEqual(wouldWrite, ['model-00000', 'model-00002']);
  assert.deepEqual(problems?.[0]?.reason, 'the job could not make a request of the record');

  const push = () => Promise.reject(new Error('not to be called'));
  await using pushing = await startWorld({ endpoints, records: models(3), writes: { push } });
  assert.equal((await pushing.backfill({ dryRun: true })).report.written, 3);
});

test('A failed record that the source refuses to show, or that has become invalid, does not block later ticks.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(10) });
  world.target.refuse = (body) => (Object(body).name === 'refused' ? 422 : undefined);
  world.source.records[3] = { ...model(3), name: 'refused' };
  world.source.records[4] = { ...model(4), name: 'refused' };
  assert.equal((await world.tick()).report.failed, 2);
  world.source.refuse = (path) => (path.startsWith('/v1/models/') && path.includes('00003') ? 451 : undefined);
  world.source.records[4] = { ...model(4), limit: 'none' };
  world.source.records.push({ ...model(11), updatedAt: new Date().toISOString() });
  const second = await world.tick();
  assert.equal(second.status, 'completed');
  assert.ok(world.target.models.has('model-00011'));
  assert.deepEqual(withoutReasons(await world.control({ action: 'status' })), [
    { id: 'model-00003', attempts: 2 },
    { id: 'model-00004', attempts: 2 },
  ]);
});

for (const status of [403, 404]) {
  test(`A source that answers ${status} to everything for a while has said nothing about the records that failed.`, async () => {
    await using world = await startWorld({ endpoints: etcd.endpoints, records: models(10) });
    world.target.refuse = (body) => (/ [34]$/.test(Object(body).name) ? 422 : undefined);
    assert.equal((await world.tick()).report.failed, 2);
    world.target.refuse = undefined;
    world.source.refuse = () => status;
    for (let ticks = 0; ticks < 5; ticks++) await assert.rejects(world.tick(), { name: 'SourceError', status });
    world.source.refuse = undefined;
    world.source.records.splice(4, 1);
    const { report } = await world.tick();
    assert.equal(report.missing, 1);
    assert.ok(world.target.models.has('model-00003'));
    assert.deepEqual((await world.control({ action: 'status' })).failed, []);
  });
}

test('A failed record that no longer exists is forgotten, even where a list without changes gives no page.', async () => {
  const shipped = job.source.list;
  const list = async function* (listing: Parameters<typeof shipped>[0]) {
    for await (const page of shipped(listing)) if (page.records.length > 0) yield page;
  };
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(1), list });
  world.target.refuse = () => 422;
  assert.equal((await world.tick()).report.failed, 1);
  world.source.records.length = 0;
  const { status, report } = await world.tick();
  assert.deepEqual([status, report.missing], ['completed', 1]);
  assert.deepEqual((await world.control({ action: 'status' })).failed, []);
});

test('Ids that no path can carry are refused before anything is read.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [] });
  for (const id of ['..', '.', '\ud800'])
    await assert.rejects(async () => world.backfill({ ids: [id] }), { name: 'EventError' });
});

test('However long the lease is, a run whose etcd falls silent gives up before its invocation ends.', async () => {
  await using proxy = await startTcpProxy(etcd.endpoints[0]!);
  const env = { LOCK_TTL_SECONDS: '300', DEADLINE_RESERVE_SECONDS: '6' };
  const options = { endpoints: [proxy.url], records: models(20_000), latencyMs: 50, pageSize: 50, env };
  await using world = await startWorld(options);
  const writing = world.target.nextRequest();
  const run = world.tick({}, 12_000);
  await writing;
  proxy.mode = 'black-hole';
  const error = await failureOf(run);
  assert.ok(error instanceof LockServiceError, error.stack);
  // The unlock begins within the reserve of 6 s and leaves 1250 ms of it to revoke the lease and to answer.
  const [, withinMs] = /"unlock" in \d+ attempt\(s\) within (\d+) ms/.exec(error.message) ?? [];
  assert.ok(Number(withinMs) <= 4750, error.message);
});

test('A run whose etcd goes away has lost its lock, also when it was about to save a checkpoint.', async () => {
  await using proxy = await startTcpProxy(etcd.endpoints[0]!);
  // The pauses decide whether the save or the keep-alive gives up first, so there are several runs.
  const runs = Array.from({ length: 6 }, async (_, index) => {
    const options = { records: models(5000), latencyMs: 20 + index, pageSize: 20, env: { LOCK_TTL_SECONDS: '5' } };
    await using world = await startWorld({ endpoints: [proxy.url], ...options });
    const tick = world.tick();
    await untilWriting(world, tick);
    await sleep(1000);
    await proxy[Symbol.asyncDispose]();
    await assert.rejects(tick, { name: 'LockLostError' });
  });
  await Promise.all(runs);
});

test('A run whose etcd is full, which keeps its lease but takes no checkpoint, ends long before its deadline.', async () => {
  await using full = await startEtcd({ extraArgs: ['--quota-backend-bytes=4000000'] });
  // A save is given up after a full TTL, while copying all of it takes at least 40 s.
  const options = { records: models(10_000), latencyMs: 200, pageSize: 20, env: { LOCK_TTL_SECONDS: '10' } };
  await using world = await startWorld({ endpoints: full.endpoints, ...options });
  const tick = world.tick();
  await untilWriting(world, tick);
  for (let code = 0; code === 0; ) {
    const put = full.spawnEtcdctl(['put', '/filling']);
    put.stdin?.end('x'.repeat(1_000_000));
    [code] = await once(put, 'exit');
  }
  await assert.rejects(tick, { name: 'LockServiceError' });
  assert.ok(world.target.models.size < 10_000);
});

test('A backfill that waits for the lock gives up before its invocation ends when etcd falls silent.', async () => {
  await using proxy = await startTcpProxy(etcd.endpoints[0]!);
  const env = { LOCK_TTL_SECONDS: '300', DEADLINE_RESERVE_SECONDS: '4' };
  await using world = await startWorld({ endpoints: [proxy.url], records: models(1), env });
  await etcd.etcdctl(['put', `${world.env.LOCK_KEY}/somebody`, '']);
  const run = world.backfill({ waitSeconds: 600 }, 10_000);
  run.catch(() => undefined);
  for (let keys = 0; keys < 2; keys = (await keysOf(etcd, `${world.env.LOCK_KEY}/`)).length) await sleep(20);
  proxy.mode = 'black-hole';
  // The cut ends the wait, 2 s before the invocation ends, and not etcd, which never answers again.
  await assert.rejects(run, { name: 'Interrupted', message: 'half the deadline reserve is used up' });
});
