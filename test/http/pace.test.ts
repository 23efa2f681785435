import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { answer, serve } from '../../infra/local/serve.ts';
import { createPace } from '../../lib/http/pace.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const models = (count: number) => Array.from({ length: count }, (_, index) => model(index));

test('A first throttling only pauses, a repeated one halves the limit, and successes raise it step by step.', () => {
  const pace = createPace({ concurrency: 8 });
  const allowed: number[] = [];
  pace.onChange = (concurrency) => allowed.push(concurrency);
  pace.throttled(performance.now(), 0);
  assert.deepEqual(allowed, []);
  const before = performance.now() - 1000;
  pace.throttled(performance.now(), 0);
  assert.deepEqual(allowed, [4]);
  // It was sent before the server first refused, so it says nothing new.
  pace.throttled(before, 0);
  assert.deepEqual(allowed, [4]);
  pace.throttled(performance.now(), 0);
  pace.throttled(performance.now(), 0);
  pace.throttled(performance.now(), 0);
  assert.deepEqual(allowed, [4, 2, 1]);
  for (let successes = 0; successes < 1 + 2 + 3; successes++) pace.succeeded();
  assert.deepEqual(allowed, [4, 2, 1, 2, 3, 4]);
});

test('The time for which a server takes nothing excludes idle time without a request.', (context) => {
  let nowMs = 1_000_000;
  context.mock.method(performance, 'now', () => nowMs);
  const pace = createPace({ concurrency: 8 });
  const throttledAfter = (ms: number, retryAfterMs: number) => {
    nowMs += ms;
    return pace.throttled(nowMs, retryAfterMs);
  };
  assert.deepEqual(
    [throttledAfter(0, 20_000), throttledAfter(21_000, 0), throttledAfter(3000, 0)],
    [0, 21_000, 24_000],
  );
  assert.equal(throttledAfter(60_000, 0), 0);
  assert.equal(throttledAfter(1000, 0), 1000);
});

test('A Retry-After pauses every request, and an abort ends the pause.', async () => {
  const pace = createPace({ concurrency: 8 });
  const never = new AbortController().signal;
  assert.equal(pace.turn(never), undefined);
  pace.throttled(performance.now(), 60_000);
  const stop = new AbortController();
  const turn = pace.turn(stop.signal);
  assert.ok(turn);
  stop.abort(new Error('enough'));
  await assert.rejects(turn, { message: 'enough' });
});

test('A target that throttles gets everything in the end, with fewer writes at a time.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(300), latencyMs: 50 });
  world.target.refuse = () => (world.target.inFlight > 20 ? 429 : undefined);
  const { status, report } = await world.tick();
  assert.equal(status, 'completed');
  assert.equal(report.written + report.failed, 300);
  assert.ok(world.target.refusals.includes(429));
  // A record that lost to others in each of its attempts is in the list of failed records, which later ticks read again.
  for (let ticks = 0; world.target.models.size < 300 && ticks < 4; ticks++) await world.tick();
  assert.equal(world.target.models.size, 300);
});

test('A target that throttles everything for a while fails no record, although each is refused more than five times.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(5) });
  let refusals = 0;
  world.target.refuse = () => (++refusals <= 60 ? 429 : undefined);
  world.target.retryAfterSeconds = 0;
  const { status, report } = await world.tick();
  assert.deepEqual([status, report.written, report.failed], ['completed', 5, 0]);
  assert.equal(world.target.refusals.length, 60);
});

test('A record that is the only one refused with 429 is not tried for ever.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(200), latencyMs: 20 });
  world.target.refuse = (body) => ((body as { name: string }).name === 'Model 0' ? 429 : undefined);
  world.target.retryAfterSeconds = 0;
  const { status, report } = await world.tick();
  assert.deepEqual([status, report.written, report.failed], ['completed', 199, 1]);
});

test('A lowered limit holds for retries as well: requests that have started already wait for their turn.', async () => {
  const pace = createPace({ concurrency: 2 });
  const never = new AbortController().signal;
  assert.equal(pace.turn(never), undefined);
  assert.equal(pace.turn(never), undefined);
  pace.throttled(performance.now(), 0);
  pace.over();
  pace.throttled(performance.now(), 0);
  const turns: string[] = [];
  const first = Promise.resolve(pace.turn(never)).then(() => turns.push('first'));
  const second = Promise.resolve(pace.turn(never)).then(() => turns.push('second'));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(turns, []);
  pace.over();
  await first;
  assert.deepEqual(turns, ['first']);
  pace.over();
  await second;
});

test('MAX_WRITES_PER_SECOND holds writes back.', async () => {
  const env = { MAX_WRITES_PER_SECOND: '1', DEADLINE_RESERVE_SECONDS: '20' };
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(60), env });
  const stop = new AbortController();
  const writing = world.target.nextRequest();
  const running = world.tick({}, 60_000, stop.signal);
  await writing;
  stop.abort();
  const { report } = await running;
  // Without the limit 50 would have started with the first one.
  assert.ok(report.written >= 1 && report.written < 25, `${report.written} writes`);
  assert.equal(report.unsettled, 60 - report.written);
});

test('MAX_READS_PER_SECOND holds reads back, those of single records included.', async () => {
  const records = models(60);
  const env = { MAX_READS_PER_SECOND: '1', DEADLINE_RESERVE_SECONDS: '20' };
  await using world = await startWorld({ endpoints: etcd.endpoints, records, env });
  const stop = new AbortController();
  world.source.refuse = () => {
    stop.abort();
    return undefined;
  };
  await world.backfill({ ids: records.map(({ id }) => id) }, 60_000, stop.signal).catch(() => undefined);
  const { length } = world.source.requests;
  // Without the limit many would have started with the first one.
  assert.ok(length >= 1 && length < 5, `${length} reads`);
});

test('Each write waits until its own moment on the clock.', async (context) => {
  const beganMs = Math.ceil(performance.now());
  let nowMs = beganMs;
  context.mock.method(performance, 'now', () => nowMs);
  const pace = createPace({ concurrency: 60, perSecond: 100 });
  const never = new AbortController().signal;
  const starts: number[] = [];
  const turns = Array.from({ length: 60 }, async () => {
    await pace.turn(never);
    starts.push(nowMs - beganMs);
  });
  for (let steps = 1; starts.length < 60; steps++) {
    await sleep(5);
    assert.ok(starts.length <= steps, `${starts.length} writes after ${steps - 1} steps of 10 ms`);
    nowMs += 10;
  }
  await Promise.all(turns);
  for (const [index, startMs] of starts.entries()) assert.ok(startMs >= index * 10, `write ${index} at ${startMs} ms`);
});

test('MAX_WRITES_PER_SECOND holds for requests that have waited because fewer were allowed as well.', async (context) => {
  let nowMs = Math.ceil(performance.now());
  context.mock.method(performance, 'now', () => nowMs);
  const pace = createPace({ concurrency: 20, perSecond: 50 });
  const never = new AbortController().signal;
  assert.equal(pace.turn(never), undefined);
  // One request at a time is allowed from now on.
  for (let times = 0; times < 6; times++) pace.throttled(nowMs, 0);
  const starts: number[] = [];
  const turns = Array.from({ length: 19 }, async () => {
    nowMs += 20;
    await pace.turn(never);
    starts.push(nowMs);
  });
  // It ends long after the moments that the others were given.
  nowMs += 1000;
  const freedMs = nowMs;
  for (let ended = 0; ended < 20; ended++) {
    pace.over();
    pace.succeeded();
  }
  for (let steps = 1; starts.length < 19; steps++) {
    await sleep(30);
    assert.ok(starts.length <= steps, `${starts.length} writes after ${steps - 1} steps of 20 ms`);
    nowMs += 20;
    // What has started ends, so that only the rate holds the others back.
    for (let ended = 0; ended < starts.length; ended++) pace.succeeded();
  }
  await Promise.all(turns);
  for (const [index, startMs] of starts.entries())
    assert.ok(startMs - freedMs >= index * 20, `write ${index} at ${startMs - freedMs} ms`);
});

for (const status of [403, 429, 503]) {
  test(`A source that throttles with ${status} until the run ends makes it partial, and the next tick goes on.`, async () => {
    let throttles = true;
    await using source = await serve((request, response) => {
      const cursor = new URL(request.url!, 'http://source').searchParams.get('cursor');
      if (cursor === null) return answer(response, 200, { models: models(100), nextCursor: 'b' });
      if (throttles) return answer(response, status, {}, { 'retry-after': '1' });
      return answer(response, 200, { models: models(150).slice(100), nextCursor: null });
    });
    const env = { SOURCE_URL: source.url };
    await using world = await startWorld({ endpoints: etcd.endpoints, records: [], env });
    const first = await world.tick({}, 12_000);
    assert.deepEqual([first.status, first.reason, first.pass?.read], ['partial', 'throttled', 100]);
    throttles = false;
    const second = await world.tick();
    assert.deepEqual([second.status, second.report.read, second.pass?.read], ['completed', 50, 150]);
    assert.equal(world.target.models.size, 150);
  });
}

test('A Retry-After beyond the end of the run makes it partial, throttled, once a page is settled.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(1200) });
  // By record, not by count: a lane's first record waits for a connection and may come after many of the others.
  const number = (body: unknown) => Number((body as { name: string }).name.replace('Model ', ''));
  world.target.refuse = (body) => (number(body) >= 600 ? 429 : undefined);
  world.target.retryAfterSeconds = 3600;
  const { status, reason, report, pass } = await world.tick();
  assert.deepEqual({ status, reason, settled: pass?.read }, { status: 'partial', reason: 'throttled', settled: 500 });
  assert.equal(report.read, report.written + report.invalid + report.failed + report.unsettled);
});
