import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { describeStatus } from '../../infra/operate/status.ts';
import { connectEtcd } from '../../lib/lock/etcd.ts';
import { newReport } from '../../lib/report.ts';
import { collectShards, fittedResult, fittedStatus } from '../../lib/run/answer.ts';
import type { Result } from '../../lib/run/result.ts';
import type { Status } from '../../lib/run/status.ts';
import { putState } from '../../lib/state/state.ts';
import { BUDGET } from '../support/locking.ts';
import { startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const BOUND = 1_000_000;
const bytesOf = (answer: unknown) => Buffer.byteLength(JSON.stringify(answer));
const failures = (count: number, prefix = '', length = 100) =>
  Array.from({ length: count }, (_, index) => ({ id: `${prefix}-${index}-`.padEnd(length, 'x'), attempts: 5 }));
const at = '2026-01-01T00:00:00.000Z';

test('The status of 64 shards whose lists are full is below a megabyte, counts all failed records, and names each once.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [], env: { SHARDS: '64' } });
  await using client = connectEtcd(etcd.endpoints);
  for (let index = 0; index < 64; index++) {
    const checkpoint = { failed: failures(1000, `shard-${index}`), deadLettered: [] };
    const success = [putState(`${world.env.STATE_PREFIX}shards/${index}-of-64/`, 'checkpoint', checkpoint)];
    await client.txn('fill', { success }, BUDGET);
  }
  const status = await world.control({ action: 'status' });
  assert.ok(bytesOf(status) < BOUND, `${bytesOf(status)} bytes`);
  assert.equal(status.failedCount, 64_000);
  assert.deepEqual([...new Set(status.shards?.map(({ failedCount }) => failedCount))], [1000]);
  assert.equal(status.shards?.length, 64);
  assert.ok(status.failed.length > 5000);
  const named = [...JSON.stringify(status).matchAll(/shard-\d+-\d+-x*/g)].map(([id]) => id);
  assert.equal(named.length, status.failed.length);
  assert.equal(new Set(named).size, named.length);
  const lines = describeStatus(status);
  assert.equal(lines.filter((line) => /^failed records {2}1000, which/.test(line)).length, 64);
  assert.match(lines.at(-1) ?? '', new RegExp(`and 63990 more: --json lists ${status.failed.length} of all$`));
});

test('The full list of one job is answered whole.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [] });
  await using client = connectEtcd(etcd.endpoints);
  const failed = failures(1000, 'one', 450);
  await client.txn(
    'fill',
    { success: [putState(world.env.STATE_PREFIX!, 'checkpoint', { failed, deadLettered: [] })] },
    BUDGET,
  );
  const status = await world.control({ action: 'status' });
  assert.deepEqual([status.failed, status.failedCount, status.shards], [failed, 1000, undefined]);
});

const status = (over: Partial<Status> = {}): Status => ({
  ...{
    job: 'models',
    stage: 'test',
    lockKey: '/lock',
    paused: false,
    consecutiveSkips: 0,
    failed: [],
    history: [],
    backfills: [],
  },
  ...over,
});

test('Long texts in a status are cut, and of very many shards the first are listed with the number of all.', () => {
  const long = '"\u0001ü'.repeat(500_000);
  const run = {
    ...{ runId: long, kind: long, status: 'failed' as const, startedAt: at, endedAt: at, fencingToken: long },
    ...{ report: newReport(), error: { name: long, code: long, message: long } },
  };
  const part = status({
    ...{ lockKey: long, lastRun: run, lastBackfill: run, advice: long, pause: { since: at, note: long } },
    heldBy: { key: long, leaseId: '1', createRevision: '1', runId: long },
    failed: failures(1000, long.slice(0, 10)),
    failedCount: 1000,
    history: Array(50).fill({ ...run, kind: 'tick', reason: long, message: long, host: long, startedBy: long }),
  });
  const text = 'x'.repeat(3000);
  const other = status({ lockKey: text, advice: text, failed: part.failed, failedCount: 1000 });
  for (const count of [1, 64, 1000]) {
    const shards = collectShards();
    for (let index = 0; index < count; index++) shards.add(index === 0 ? part : other, { index, of: count });
    assert.ok(bytesOf(shards.failed) <= BOUND);
    const fitted = fittedStatus({ ...part, failed: shards.failed, history: shards.history, shards: shards.parts });
    assert.equal(fitted.history.length, 50);
    assert.ok(bytesOf(fitted) < BOUND, `${count} shards: ${bytesOf(fitted)} bytes`);
    assert.equal(fitted.shardCount ?? fitted.shards?.length, count);
    assert.ok(fitted.shards!.length > 0 && fitted.shards!.length <= count);
    assert.deepEqual(fitted.shards![0]!.lastRun?.report, newReport());
  }
  const many = fittedStatus(status({ shards: Array(5000).fill(status()), failed: failures(1, 'a') }));
  assert.equal(many.failed.length, 1);
  const huge = fittedStatus(status({ failed: [{ id: long, attempts: 1 }], failedCount: 1 }));
  assert.deepEqual([huge.failed, huge.failedCount], [[], 1]);
});

test('The ids of records that a backfill could not write are whole, however long the status is, which is below a megabyte with them.', () => {
  const text = 'x'.repeat(2000);
  const ids = Array.from({ length: 2 }, (_, index) => `${index}-`.padEnd(1900, 'x'));
  const backfill = {
    ...{ id: 'may', status: 'failed' as const, windows: 1, window: 0, shards: 1, shardsDone: 0, done: 0, attempts: 5 },
    ...{ counts: newReport(), startedAt: at, updatedAt: at, failedCount: 2, failed: ids, startedBy: text },
    lastError: { name: 'SourceError', code: 'SOURCE', message: text },
  };
  const run = {
    ...{ runId: text, kind: 'tick' as const, status: 'failed' as const, startedAt: at, endedAt: at, fencingToken: '7' },
    ...{ report: newReport(), reason: text, message: text, host: text, startedBy: text },
  };
  const part = status({ lockKey: text });
  const fitted = fittedStatus(
    status({ backfills: Array(20).fill(backfill), history: Array(50).fill(run), shards: Array(4000).fill(part) }),
  );
  assert.ok(bytesOf(fitted) < BOUND, `${bytesOf(fitted)} bytes`);
  assert.deepEqual(fitted.backfills[0]!.failed, ids);
  assert.equal(fitted.shardCount, 4000);
});

test('The result of a run cuts its texts, and its failed ids are whole and counted.', () => {
  const long = 'x'.repeat(1_500_000);
  const result: Result = {
    ...{ status: 'completed', job: 'models', runId: 'run-1', report: newReport(), message: long },
    wouldWrite: Array(20).fill(long),
    problems: Array(20).fill({ id: long, kind: 'failed', reason: long }),
    heldBy: { key: long, leaseId: '1', createRevision: '1' },
    failedIds: Array.from({ length: 1000 }, (_, index) => `${index}-`.padEnd(3000, 'x')),
  };
  const fitted = fittedResult(result);
  assert.ok(bytesOf(fitted) < BOUND, `${bytesOf(fitted)} bytes`);
  assert.equal(fitted.failedCount, 1000);
  assert.deepEqual(fitted.failedIds, result.failedIds!.slice(0, fitted.failedIds!.length));
  assert.ok(fitted.failedIds!.length > 200);
  assert.match(fitted.wouldWrite?.[0] ?? '', /^x+… \(1500000 bytes\)$/);
  const { failedIds: _, ...without } = result;
  assert.ok(!('failedCount' in fittedResult(without)));
});
