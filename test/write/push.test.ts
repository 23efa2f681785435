import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { bodyOf, serve } from '../../infra/local/serve.ts';
import { TargetError } from '../../lib/errors.ts';
import type { Push } from '../../lib/job-types.ts';
import { until } from '../support/pipeline.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

type Model = ReturnType<typeof model>;
interface Call {
  method: string;
  path: string;
  fence: string;
  key: string;
}

/** A target that stores names and limits separately, and a job that writes both for each record. */
async function startShop(options: {
  push?: (record: Model, target: Push) => Promise<void>;
  status?: (call: Call) => number;
  env?: Record<string, string>;
  count?: number;
  /** What the target answers. */
  body?: (call: Call) => { json: string; coding?: string };
}) {
  const { push = putBoth, status = () => 200, env = {}, count = 20 } = options;
  const { body = ({ path }: Call) => ({ json: JSON.stringify({ path }), coding: 'identity' }) } = options;
  await using stack = new AsyncDisposableStack();
  const calls: Call[] = [];
  const state = { inFlight: 0, peakInFlight: 0 };
  const shop = stack.use(
    await serve(async (request, response) => {
      state.peakInFlight = Math.max(state.peakInFlight, ++state.inFlight);
      await bodyOf(request);
      const header = (name: string) => String(request.headers[name]);
      const call = {
        ...{ method: String(request.method), path: String(request.url) },
        ...{ fence: header('x-fencing-token'), key: header('idempotency-key') },
      };
      calls.push(call);
      await sleep(1);
      state.inFlight--;
      const { json, coding = 'identity' } = body(call);
      response.writeHead(status(call), { 'content-encoding': coding });
      response.end(coding === 'gzip' ? gzipSync(json) : json);
    }),
  );
  const records = Array.from({ length: count }, (_, index) => model(index));
  const world = stack.use(
    await startWorld({ endpoints: etcd.endpoints, records, env: { TARGET_URL: shop.url, ...env }, writes: { push } }),
  );
  const owned = stack.move();
  return { world, calls, state, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function putBoth({ id, name, limit }: Model, { send }: Push) {
  await send({ method: 'PUT', path: `/names/${id}`, body: { name } });
  await send({ method: 'PUT', path: `/limits/${id}`, body: limit });
}

test('A job that pushes makes several calls for a record, each fenced and with a key of its own.', async () => {
  await using shop = await startShop({ env: { CONCURRENCY: '5' } });
  const { status, report, fencingToken } = await shop.world.tick();
  assert.deepEqual([status, report.written], ['completed', 20]);
  assert.equal(shop.calls.length, 40);
  assert.equal(new Set(shop.calls.map(({ key }) => key)).size, 40);
  assert.deepEqual([...new Set(shop.calls.map(({ fence }) => fence))], [fencingToken]);
  for (const { id } of shop.world.source.records as Model[]) {
    const ofRecord = shop.calls.filter(({ path }) => path.endsWith(`/${id}`)).map(({ path }) => path);
    assert.deepEqual(ofRecord, [`/names/${id}`, `/limits/${id}`]);
  }
  assert.ok(shop.state.peakInFlight <= 5);
});

test('The calls of a push have keys of their own, also where only the method or the path differs.', async () => {
  await using shop = await startShop({
    count: 1,
    async push({ id }, { send }) {
      const body = { id };
      await send({ method: 'POST', path: '/names', body });
      await send({ method: 'PUT', path: '/names', body });
      await send({ method: 'PUT', path: '/limits', body });
      // The same call again is a repetition.
      await send({ method: 'PUT', path: '/limits', body });
    },
  });
  assert.equal((await shop.world.tick()).report.written, 1);
  const [post, put, other, again] = shop.calls.map(({ key }) => key);
  assert.equal(new Set([post, put, other]).size, 3);
  assert.equal(again, other);
});

test('A push sees what the target answered, and may go on after a refusal.', async () => {
  const seen: unknown[] = [];
  await using shop = await startShop({
    count: 1,
    status: ({ method }) => (method === 'GET' ? 404 : 201),
    async push({ id, name }, { send, settings, fencingToken, fencingScope }) {
      const found = await send({ method: 'GET', path: `/names/${id}`, body: undefined }).catch((error) => {
        if (error instanceof TargetError && error.status === 404) return undefined;
        throw error;
      });
      const { status, json } = await send({ method: 'POST', path: '/names', body: { id, name } });
      seen.push(found, status, json(), settings, fencingToken, fencingScope);
    },
  });
  const { report, fencingToken } = await shop.world.tick();
  assert.equal(report.written, 1);
  assert.deepEqual(seen, [
    undefined,
    201,
    { path: '/names' },
    { TARGET_REGION_ID: 'eu' },
    fencingToken,
    `${shop.world.prefix}/lock`,
  ]);
});

test('A push that throws fails its record and no other; a refusal is the reason that is reported.', async () => {
  await using shop = await startShop({
    status: ({ path }) => (path === '/limits/model-00002' ? 422 : 200),
    push: (record, target) =>
      record.id === 'model-00001' ? Promise.reject(new RangeError('x')) : putBoth(record, target),
  });
  const { status, report, problems } = await shop.world.tick();
  assert.deepEqual([status, report.written, report.failed], ['completed', 18, 2]);
  assert.deepEqual(problems?.map(({ id, reason }) => [id, reason]).sort(), [
    ['model-00001', "the job's push failed: RangeError"],
    ['model-00002', 'the target answered 422'],
  ]);
});

test('A push fails by an answer that is too large, or broken, only if it looks at it.', async () => {
  const large = JSON.stringify('x'.repeat(1_200_000));
  const bodies = [
    { json: large },
    { json: large, coding: 'gzip' },
    { json: '<p>' },
    { json: '{"a":1}', coding: 'gzip' },
  ];
  const seen: unknown[] = [];
  let looks = false;
  await using shop = await startShop({
    count: 4,
    body: ({ path }) => bodies[Number(path.slice(-1))]!,
    async push({ id, name }, { send }) {
      const { json } = await send({ method: 'PUT', path: `/names/${id}`, body: { name } });
      if (looks) seen.push(json());
    },
  });
  assert.partialDeepStrictEqual((await shop.world.tick()).report, { written: 4, failed: 0 });
  looks = true;
  const { problems } = await shop.world.backfill({});
  assert.deepEqual(seen, [{ a: 1 }]);
  assert.deepEqual(problems?.map(({ id, reason }) => [id, reason]).sort(), [
    ['model-00000', "the target's answer is larger than 1048576 bytes"],
    ['model-00001', "the target's answer: the answer is larger than 1048576 bytes"],
    ['model-00002', "the target's answer of 3 bytes is not JSON in UTF-8"],
  ]);
});

test('Calls that a push does not await are made one after the other and belong to the write.', async () => {
  await using shop = await startShop({
    env: { CONCURRENCY: '1' },
    async push({ id }, { send }) {
      for (const part of ['a', 'b', 'c']) send({ method: 'PUT', path: `/${part}/${id}`, body: {} });
    },
  });
  assert.equal((await shop.world.tick()).report.written, 20);
  assert.equal(shop.calls.length, 60);
  assert.equal(shop.state.peakInFlight, 1);
});

test('A push that gives up while its calls are in flight ends only when they do, and makes no further ones.', async () => {
  const late: unknown[] = [];
  const afterwards: (() => void)[] = [];
  await using shop = await startShop({
    count: 3,
    env: { CONCURRENCY: '1' },
    status: ({ path }) => (path.startsWith('/a/') ? 422 : 200),
    async push({ id }, { send }) {
      // One record at a time, so the push before this one is over.
      for (const sendLate of afterwards.splice(0)) sendLate();
      afterwards.push(() => send({ method: 'PUT', path: `/late/${id}`, body: {} }).catch((error) => late.push(error)));
      await Promise.all(['a', 'b'].map((part) => send({ method: 'PUT', path: `/${part}/${id}`, body: {} })));
    },
  });
  const { report } = await shop.world.tick();
  assert.equal(report.failed, 3);
  const paths = shop.world.source.records.flatMap((record) =>
    ['a', 'b'].map((part) => `/${part}/${(record as Model).id}`),
  );
  assert.deepEqual(
    shop.calls.map(({ path }) => path),
    paths,
  );
  for (const sendLate of afterwards) sendLate();
  await until(() => late.length === 3);
  assert.equal(shop.calls.length, 6);
});

test('A push cannot hide from the run that the fence was refused.', async () => {
  await using shop = await startShop({
    env: { CONCURRENCY: '1' },
    status: () => 412,
    push: (record, target) => putBoth(record, target).catch(() => undefined),
  });
  await assert.rejects(shop.world.tick(), { name: 'FenceAheadError' });
  assert.equal(shop.calls.length, 1);
});

test('A push that retries until its signal fires receives the signal when the fence is refused.', async () => {
  await using shop = await startShop({
    count: 1,
    status: () => 412,
    async push(record, target) {
      while (!target.signal.aborted) {
        await putBoth(record, target).catch(() => undefined);
        await sleep(20);
      }
    },
  });
  await assert.rejects(shop.world.tick({}, 30_000), { name: 'FenceAheadError' });
});

test('A target that is down is noticed although the job throws an error of its own for each record.', async () => {
  await using shop = await startShop({
    count: 5,
    env: { CONCURRENCY: '1', FAILURES_BEFORE_STOP: '2' },
    status: () => 500,
    push: (record, target) => putBoth(record, target).catch((cause) => Promise.reject(new Error('no', { cause }))),
  });
  await assert.rejects(shop.world.tick(), { name: 'TargetDownError' });
  const { failed, lastRun } = await shop.world.control({ action: 'status' });
  assert.deepEqual([failed, lastRun?.report.unsettled], [[], 5]);
});

test('A target that refuses everybody is noticed although the job throws an error of its own for each record.', async () => {
  const wrapping = (record: Model, target: Push) =>
    putBoth(record, target).catch((cause) => Promise.reject(new Error('no', { cause })));
  for (const status of [403, 308]) {
    await using shop = await startShop({ count: 60, status: () => status, push: wrapping });
    await assert.rejects(shop.world.tick(), {
      name: 'TargetRefusedError',
      message: new RegExp(`the job's push failed: Error: the target answered ${status}$`),
    });
    const { failed, lastRun } = await shop.world.control({ action: 'status' });
    assert.deepEqual([failed, lastRun?.report.unsettled], [[], 60]);
  }
  // It takes a call of each record, so what it refuses is the record's own.
  await using shop = await startShop({
    count: 60,
    status: ({ path }) => (path.startsWith('/limits') ? 403 : 200),
    push: wrapping,
  });
  const { status, report } = await shop.world.tick();
  assert.deepEqual([status, report.failed], ['completed', 60]);
});

test('Records that the job cannot write at all do not make a target that is down look as if it were up.', async () => {
  await using shop = await startShop({
    count: 6,
    env: { CONCURRENCY: '1', FAILURES_BEFORE_STOP: '3' },
    status: () => 500,
    async push(record, target) {
      if (record.id === 'model-00001') throw new RangeError('x');
      await putBoth(record, target);
    },
  });
  await assert.rejects(shop.world.tick(), { name: 'TargetDownError' });
  const { failed, lastRun } = await shop.world.control({ action: 'status' });
  assert.deepEqual(
    failed.map(({ id, attempts }) => [id, attempts]),
    [['model-00001', 1]],
  );
  assert.deepEqual([lastRun?.report.failed, lastRun?.report.unsettled], [1, 5]);
});

test('A push that never ends is given up at the deadline, and its record stays unsettled.', async () => {
  await using shop = await startShop({
    env: { CONCURRENCY: '3', DEADLINE_RESERVE_SECONDS: '1' },
    push: (record, target) => (record.id === 'model-00019' ? new Promise<void>(() => {}) : putBoth(record, target)),
  });
  await assert.rejects(shop.world.tick({}, 8000), { name: 'NoProgressError' });
  const { lastRun } = await shop.world.control({ action: 'status' });
  assert.deepEqual([lastRun?.report.written, lastRun?.report.unsettled], [19, 1]);
});
