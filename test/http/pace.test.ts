import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
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
  // Sent before the server said so: it tells nothing new.
  pace.throttled(before, 0);
  assert.deepEqual(allowed, [4]);
  pace.throttled(performance.now(), 0);
  pace.throttled(performance.now(), 0);
  pace.throttled(performance.now(), 0);
  assert.deepEqual(allowed, [4, 2, 1]);
  for (let successes = 0; successes < 1 + 2 + 3; successes++) pace.succeeded();
  assert.deepEqual(allowed, [4, 2, 1, 2, 3, 4]);
});

test('A server has taken nothing for as long as it was asked and refused, not for as long as nobody asked.', (context) => {
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
  // What others got the better of in each of its attempts is in the list of failed records, which later ticks read again.
  for (let ticks = 0; world.target.models.size < 300 && ticks < 4; ticks++) await world.tick();
  assert.equal(world.target.models.size, 300);
});

test('A target that takes nothing for a while fails no record, although each is refused more than five times.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(5) });
  let refusals = 0;
  world.target.refuse = () => (++refusals <= 60 ? 429 : undefined);
  world.target.retryAfterSeconds = 0;
  const { status, report } = await world.tick();
  assert.deepEqual([status, report.written, report.failed], ['completed', 5, 0]);
  assert.equal(world.target.refusals.length, 60);
});

test('A record that alone is refused as too much is not tried for ever.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(200), latencyMs: 20 });
  world.target.refuse = (body) => ((body as { name: string }).name === 'Model 0' ? 429 : undefined);
  world.target.retryAfterSeconds = 0;
  const { status, report } = await world.tick();
  assert.deepEqual([status, report.written, report.failed], ['completed', 199, 1]);
});

test('A lowered limit holds for retries as well: those that have started already wait for their turn.', async () => {
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
  const env = { MAX_WRITES_PER_SECOND: '100' };
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(60), env });
  const { report } = await world.tick();
  assert.equal(report.written, 60);
  // 59 gaps of 10 ms are a lower bound, however slow the machine is.
  assert.ok(report.durationMs >= 580, `${report.durationMs} ms`);
});

test('MAX_WRITES_PER_SECOND holds for those too who have waited because fewer were allowed.', async () => {
  const pace = createPace({ concurrency: 20, perSecond: 50 });
  const never = new AbortController().signal;
  const started = performance.now();
  const starts: number[] = [];
  const turns = Array.from({ length: 20 }, async () => {
    await pace.turn(never);
    starts.push(performance.now() - started);
  });
  // One of them is allowed at a time, and it ends long after the moments that were given to the others.
  for (let times = 0; times < 6; times++) pace.throttled(performance.now(), 0);
  await sleep(600);
  const before = starts.length;
  for (let ended = 0; ended < 20; ended++) {
    pace.over();
    pace.succeeded();
  }
  await sleep(100);
  assert.ok(starts.length - before <= 7, `${starts.length - before} writes within 100 ms at 50 a second`);
  for (let ended = 0; ended < 20; ended++) pace.over();
  for (let successes = 0; successes < 400; successes++) pace.succeeded();
  await Promise.all(turns);
});

test('A Retry-After that the run would not outlast ends it as a partial one, throttled, once a page is settled.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(1200) });
  // By record, not by count: the first record of a lane may come after many of the others, because it waits for a connection.
  const number = (body: unknown) => Number((body as { name: string }).name.replace('Model ', ''));
  world.target.refuse = (body) => (number(body) >= 600 ? 429 : undefined);
  world.target.retryAfterSeconds = 3600;
  const { status, reason, report, pass } = await world.tick();
  assert.deepEqual({ status, reason, settled: pass?.read }, { status: 'partial', reason: 'throttled', settled: 500 });
  assert.equal(report.read, report.written + report.invalid + report.failed + report.unsettled);
});
