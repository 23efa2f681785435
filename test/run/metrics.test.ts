import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCloud } from '../../infra/local/cloud.ts';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import type { Log } from '../../lib/log.ts';
import { newReport } from '../../lib/report.ts';
import { createMetrics, metricUnits } from '../../lib/run/metrics.ts';
import { lockByHand, lockKeys } from '../support/lock.ts';
import { until } from '../support/pipeline.ts';
import { untilWriting } from '../support/running.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const models = (count: number) => Array.from({ length: count }, (_, index) => model(index));

const worldOf = (
  count: number,
  options: { latencyMs?: number; pageSize?: number; env?: Record<string, string> } = {},
) => startWorld({ endpoints: etcd.endpoints, records: models(count), ...options });

interface Emf {
  _aws: {
    Timestamp: number;
    CloudWatchMetrics: { Namespace: string; Dimensions: string[][]; Metrics: { Name: string; Unit: string }[] }[];
  };
}

/** The metrics of the last run in this world; each has its unit. */
function lastOf({ emf }: { emf: Record<string, unknown>[] }): Record<string, number> {
  const line = emf.at(-1) as unknown as Emf & Record<string, number>;
  const [directive] = line._aws.CloudWatchMetrics;
  assert.equal(directive!.Namespace, 'solotick');
  return Object.fromEntries(
    directive!.Metrics.map(({ Name, Unit }) => {
      assert.equal(Unit, metricUnits[Name as keyof typeof metricUnits], Name);
      assert.equal(typeof line[Name], 'number', Name);
      return [Name, line[Name]!];
    }),
  );
}

test('A completed tick reports its metrics in one line, with its stage and job as dimensions.', async () => {
  await using world = await worldOf(700);
  const { runId, report } = await world.tick({ scheduledTime: '2026-11-24T12:15:00Z' });
  const { DurationMs: durationMs, ...values } = lastOf(world);
  assert.ok(durationMs! >= report.durationMs);
  assert.deepEqual(values, {
    ...{ Completed: 1, Success: 1, SecondsSinceSuccess: 0, ConsecutiveSkips: 0, CheckpointAgeSeconds: 0 },
    ...{ RecordsRead: 700, RecordsWritten: 700, RecordsRemoved: 0, RecordsInvalid: 0, RecordsFailed: 0 },
    ...{ PeakInFlight: report.peakInFlight, Throttles: 0, LockLost: 0 },
  });
  assert.equal(world.emf.length, 1);
  const { _aws, ...line } = world.emf[0] as unknown as Emf;
  assert.deepEqual(
    _aws.CloudWatchMetrics.map(({ Dimensions }) => Dimensions),
    [[['stage', 'job']]],
  );
  assert.ok(Math.abs(Date.now() - _aws.Timestamp) < 60_000);
  assert.partialDeepStrictEqual(line, { stage: 'test', job: 'models', runId });
  assert.ok(!('service' in line));
});

test('A skip reports its reason and is no success, and skips at a held lock are counted in a row.', async () => {
  await using world = await worldOf(1, { env: { STARTING_DEADLINE_SECONDS: '60' } });
  const skip = async (event: unknown, reason: string) => {
    const result = await world.tick(event);
    assert.deepEqual([result.status, result.reason], ['skipped', reason]);
    const { SecondsSinceSuccess: since, ...values } = lastOf(world);
    return { since, values };
  };
  const now = new Date().toISOString();
  const state = { Success: 0, ConsecutiveSkips: 0, CheckpointAgeSeconds: 0 };

  await world.control({ action: 'pause' });
  assert.deepEqual(await skip({}, 'paused'), {
    since: undefined,
    values: { Skipped: 1, SkippedPaused: 1, ...state },
  });
  await world.control({ action: 'resume' });
  const stale = await skip({ scheduledTime: '2026-01-01T00:00:00Z' }, 'stale');
  assert.deepEqual(stale.values, { Skipped: 1, SkippedStale: 1, ...state });

  assert.equal((await world.tick({ scheduledTime: now })).status, 'completed');
  const duplicate = await skip({ scheduledTime: now }, 'duplicate');
  assert.deepEqual(duplicate.values, { Skipped: 1, SkippedDuplicate: 1, ...state });
  assert.ok(duplicate.since! >= 0 && duplicate.since! < 60);
  world.env.MIN_INTERVAL_SECONDS = '3600';
  assert.deepEqual((await skip({}, 'min-interval')).values, { Skipped: 1, SkippedMinInterval: 1, ...state });
  delete world.env.MIN_INTERVAL_SECONDS;

  await using terminal = lockByHand(etcd, world.env.LOCK_KEY!);
  await terminal.acquired;
  for (const ConsecutiveSkips of [1, 2]) {
    const { values } = await skip({}, 'locked');
    assert.deepEqual(values, { Skipped: 1, SkippedLocked: 1, ...state, ConsecutiveSkips });
  }
  await skip({ scheduledTime: now }, 'duplicate');
  assert.equal(lastOf(world).ConsecutiveSkips, 2);
  await world.control({ action: 'pause' });
  await skip({}, 'paused');
  assert.equal(lastOf(world).ConsecutiveSkips, 0);
  await world.control({ action: 'resume' });
  world.env.SHARDS = '2';
  const resharding = await skip({ shard: { index: 0, of: 2 } }, 'resharding');
  assert.deepEqual(resharding.values, { Skipped: 1, SkippedResharding: 1, ...state });
});

test('A partial tick that settled records is a success; the age of its pass grows until the pass is completed.', async () => {
  const env = { CONCURRENCY: '1', DEADLINE_RESERVE_SECONDS: '20' };
  await using world = await worldOf(40, { latencyMs: 100, pageSize: 10, env });
  const stop = new AbortController();
  const running = world.tick({}, 60_000, stop.signal);
  // 15 writes, one after the other, take at least 1.5 s.
  await until(() => world.target.writes.length >= 15);
  stop.abort();
  assert.equal((await running).status, 'partial');
  assert.partialDeepStrictEqual(lastOf(world), { Partial: 1, Success: 1, SecondsSinceSuccess: 0, Throttles: 0 });
  assert.ok(lastOf(world).CheckpointAgeSeconds! >= 1);
  world.target.latencyMs = 0;
  assert.equal((await world.tick()).status, 'completed');
  assert.partialDeepStrictEqual(lastOf(world), { Completed: 1, Success: 1, CheckpointAgeSeconds: 0 });
});

test('A partial tick that has settled no record, none but failed ones, or no page, is no success.', () => {
  const lines: Record<string, unknown>[] = [];
  const tell = createMetrics({ stage: 'test', job: 'models' }, silent, (line) => lines.push(JSON.parse(line)));
  const report = { ...newReport(), read: 5, unsettled: 5 };
  const observed = {
    request: { kind: 'tick' as const },
    runId: 'run',
    startedMs: Date.now(),
    throttles: 0,
    settledPages: 1,
    report,
  };
  const result = { status: 'partial' as const, job: 'models', runId: 'run', report };
  tell(observed, { result });
  const some = { ...result, report: { ...report, unsettled: 4, written: 1 } };
  tell({ ...observed, settledPages: 0 }, { result: some });
  for (const as of ['failed', 'written', 'unchanged', 'removed', 'invalid', 'missing'])
    tell(observed, { result: { ...result, report: { ...report, unsettled: 4, [as]: 1 } } });
  assert.deepEqual(
    lines.map(({ Success }) => Success),
    [0, 0, 0, 1, 1, 1, 1, 1],
  );
});

test('Removals that are withheld are reported by the timer until a pass has removed them, and not by backfills.', () => {
  const lines: Record<string, unknown>[] = [];
  const tell = createMetrics({ stage: 'test', job: 'models' }, silent, (line) => lines.push(JSON.parse(line)));
  const report = newReport();
  const before = { consecutiveSkips: 0, removals: { withheld: 12, of: 100, at: '2026-11-24T12:00:00.000Z' } };
  const observed = { runId: 'run', startedMs: Date.now(), throttles: 0, settledPages: 1, report, state: before };
  const result = { status: 'completed' as const, job: 'models', runId: 'run', report };
  const tick = { ...observed, request: { kind: 'tick' as const } };
  tell(tick, { result: { ...result, removalsWithheld: 30 } });
  tell(tick, { result });
  tell(tick, { result: { ...result, status: 'skipped', reason: 'locked' } });
  tell({ ...tick, removalsLetThrough: true }, { result });
  tell({ ...tick, state: { consecutiveSkips: 0 } }, { result });
  tell({ ...observed, request: { kind: 'backfill', waitSeconds: 0, dryRun: false } }, { result });
  assert.deepEqual(
    lines.map(({ RemovalsWithheld: withheld }) => withheld),
    [30, 12, 12, undefined, undefined, undefined],
  );
});

test('A tick that fails reports an error and its counts so far, and the time since the last success keeps growing.', async () => {
  await using world = await worldOf(20, { pageSize: 10 });
  await world.tick();
  world.source.records = [...models(20), { nonsense: true }];
  world.target.refuse = (body) => ((body as { name: string }).name === 'Model 3' ? 422 : undefined);
  await world.backfill();
  await world.control({ action: 'reset', what: 'watermark' });
  await world.tick();
  assert.partialDeepStrictEqual(lastOf(world), { Completed: 1, RecordsInvalid: 1, RecordsFailed: 1 });

  world.source.credentials = { username: 'somebody', password: 'else' };
  await assert.rejects(world.tick(), { name: 'CredentialsError' });
  const values = lastOf(world);
  assert.partialDeepStrictEqual(values, { Errored: 1, Success: 0, LockLost: 0, RecordsWritten: 0 });
  assert.ok(values.SecondsSinceSuccess! < 60);
  assert.ok(!('Completed' in values));
});

test('A tick whose lock is lost reports that and its counts.', async () => {
  // The revocation is noticed at the next keep-alive, a third of the TTL later at most.
  const env = { CONCURRENCY: '2', LOCK_TTL_SECONDS: '5' };
  await using world = await worldOf(400, { latencyMs: 200, env });
  const tick = world.tick();
  await untilWriting(world, tick);
  const [key] = await lockKeys(etcd, world.env.LOCK_KEY!);
  await etcd.etcdctl(['lease', 'revoke', key!.split('/').at(-1)!]);
  await assert.rejects(tick, { name: 'LockLostError' });
  const { RecordsRead: read, ...values } = lastOf(world);
  assert.partialDeepStrictEqual(values, { Errored: 1, Success: 0, LockLost: 1 });
  assert.ok(read! > 0);
});

test('Every answer that throttles is counted.', async () => {
  await using world = await worldOf(5);
  let refusals = 3;
  world.target.refuse = () => (refusals-- > 0 ? 429 : undefined);
  world.target.retryAfterSeconds = 0;
  assert.equal((await world.tick()).report.written, 5);
  assert.equal(lastOf(world).Throttles, 3);
});

test('A backfill has metrics of its own kind, and a rehearsal has none.', async () => {
  await using world = await worldOf(3);
  await world.backfill({ dryRun: true });
  assert.deepEqual(world.emf, []);
  await world.backfill();
  const { DurationMs: _, PeakInFlight: __, ...values } = lastOf(world);
  assert.deepEqual(values, {
    ...{ Completed: 1, RecordsRead: 3, RecordsWritten: 3, RecordsRemoved: 0, RecordsInvalid: 0, RecordsFailed: 0 },
    ...{ Throttles: 0, LockLost: 0 },
  });
  const [line] = world.emf as unknown as (Emf & Record<string, unknown>)[];
  assert.deepEqual(line!._aws.CloudWatchMetrics[0]!.Dimensions, [['stage', 'job', 'kind']]);
  assert.equal(line!.kind, 'backfill');
});

test('A shard also has metrics of its own, so that the others do not hide a dead one.', async () => {
  await using world = await worldOf(20, { env: { SHARDS: '2' } });
  await world.tick({ shard: { index: 1, of: 2 } });
  const [line] = world.emf as unknown as (Emf & Record<string, unknown>)[];
  const [whole, own] = line!._aws.CloudWatchMetrics;
  assert.deepEqual(whole!.Dimensions, [['stage', 'job']]);
  assert.deepEqual(own!.Dimensions, [['stage', 'job', 'shard']]);
  assert.equal(line!.shard, '1-of-2');
  assert.deepEqual(own!.Metrics.map(({ Name }) => Name).sort(), ['ConsecutiveSkips', 'DurationMs', 'Success']);
  // No dimension of one run stays for the next.
  await world.backfill({ shard: { index: 0, of: 2 } });
  assert.equal((world.emf.at(-1) as unknown as Emf)._aws.CloudWatchMetrics.length, 1);
});

test('A tick that cannot reach etcd is an error and reports nothing about the state there.', async () => {
  await using world = await worldOf(1, { env: { ETCD_ENDPOINTS: 'http://127.0.0.1:1' } });
  await assert.rejects(world.tick(), { name: 'LockServiceError' });
  assert.deepEqual(lastOf(world), { Errored: 1, Success: 0 });
});

const silent = { warn() {} } as unknown as Log;

test('A failure to write metrics is logged and disturbs neither this run nor the next ones.', () => {
  const warnings: unknown[] = [];
  const log = { warn: (message: unknown) => warnings.push(message) } as unknown as Log;
  const lines: Record<string, unknown>[] = [];
  let broken = true;
  const tell = createMetrics({ stage: 'test', job: 'models' }, log, (line) => {
    if (broken) throw new Error('the pipe is closed');
    lines.push(JSON.parse(line));
  });
  const observed = {
    request: { kind: 'tick' as const },
    runId: 'run',
    startedMs: Date.now(),
    throttles: 0,
    settledPages: 0,
  };
  tell(observed, { error: new Error('first') });
  assert.deepEqual(warnings, ['the metrics were not written']);
  broken = false;
  tell(observed, { error: new Error('second') });
  assert.deepEqual([lines.length, lines[0]?.Errored], [1, 1]);
});

test('The deployed artifact prints the bare line: one for each run, none for control.', async () => {
  await using cloud = await startCloud({ stage: 'dev' });
  const { sync, backfill, control } = cloud.functions;
  const metricsOf = (logs: string[]) =>
    logs.filter((line) => line.startsWith('{"_aws":')).map((line) => JSON.parse(line));
  const [completed, ...more] = metricsOf((await sync.invoke({})).logs);
  assert.deepEqual(more, []);
  assert.partialDeepStrictEqual(completed, { stage: 'dev', job: 'models', Completed: 1, Success: 1 });
  assert.equal(metricsOf((await backfill.invoke({ ids: ['none'] })).logs).length, 1);
  assert.equal(metricsOf((await control.invoke({ action: 'pause' })).logs).length, 0);
  const [skipped] = metricsOf((await sync.invoke({})).logs);
  assert.partialDeepStrictEqual(skipped, { Skipped: 1, SkippedPaused: 1, Success: 0 });
});
