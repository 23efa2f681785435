import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { answer, serve } from '../../infra/local/serve.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

/** A world whose source answers 429 with this `Retry-After` as long as `state.throttles`. */
async function open(retryAfter: string, env: Record<string, string> = {}) {
  await using stack = new AsyncDisposableStack();
  const state = { throttles: true, requests: 0 };
  const source = stack.use(
    await serve((_, response) => {
      state.requests++;
      if (state.throttles) answer(response, 429, { message: 'quota' }, { 'retry-after': retryAfter });
      else answer(response, 200, { models: [model(1)], nextCursor: null });
    }),
  );
  const world = stack.use(
    await startWorld({ endpoints: etcd.endpoints, records: [], env: { SOURCE_URL: source.url, ...env } }),
  );
  const owned = stack.move();
  return { state, world, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test('A quota that is used up for longer than 30 s ends the run, and ticks until then are skipped without a request.', async (t) => {
  await using opened = await open('120', { CONTINUE: 'self' });
  const { state, world } = opened;
  const nowMs = Date.now();
  const first = await world.tick();
  assert.deepEqual([first.status, first.reason], ['partial', 'throttled']);
  assert.equal(first.message, 'the source asks for a pause of 120 s');
  assert.ok(Date.parse(first.notBefore ?? '') >= nowMs + 120_000);
  assert.match(
    world.lines.find(({ message }) => message.startsWith('partial'))?.message ?? '',
    /^partial \(throttled\): the source asks/,
  );
  const skip = await world.tick();
  assert.deepEqual([skip.status, skip.reason, state.requests], ['skipped', 'quota', 1]);
  assert.equal(
    skip.message,
    `nothing is asked of a server before ${first.notBefore}: the source asks for a pause of 120 s`,
  );
  assert.equal(world.emf.at(-1)?.SkippedQuota, 1);
  assert.equal((await world.control({ action: 'status' })).notBefore, first.notBefore);
  // A hand means it.
  assert.equal((await world.backfill()).reason, 'throttled');
  assert.equal((await world.tick()).reason, 'quota');

  state.throttles = false;
  const now = Date.now;
  t.mock.method(Date, 'now', () => now() + 121_000);
  assert.equal((await world.tick()).status, 'completed');
  assert.equal((await world.control({ action: 'status' })).notBefore, undefined);
});

test('A pause is believed for a day at most, and one that only the run does not outlast is none of later ticks.', async () => {
  await using long = await open('999999999');
  const { notBefore } = await long.world.tick();
  assert.ok(Date.parse(notBefore ?? '') <= Date.now() + 86_400_000);
  await using short = await open('20');
  const first = await short.world.tick({}, 10_000);
  assert.deepEqual([first.reason, first.notBefore], ['throttled', undefined]);
  assert.equal((await short.world.tick({}, 10_000)).reason, 'throttled');
});

const spent = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '120' };

test('A page that used up the quota is written, and ticks until the reset ask nothing; where it was the last page, nothing is missing.', async (t) => {
  let requests = 0;
  await using source = await serve((_, response) => {
    requests++;
    const models = [model(requests)];
    answer(response, 200, { models, nextCursor: requests < 2 ? 'more' : null }, spent);
  });
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [], env: { SOURCE_URL: source.url } });
  const first = await world.tick();
  assert.deepEqual([first.status, first.reason, first.report.written], ['partial', 'throttled', 1]);
  assert.equal(first.message, 'the source takes no more requests for 120 s');
  assert.ok(Date.parse(first.notBefore ?? '') > Date.now() + 60_000);
  assert.equal((await world.tick()).reason, 'quota');
  assert.equal(requests, 1);
  const now = Date.now;
  t.mock.method(Date, 'now', () => now() + 121_000);
  const last = await world.tick();
  assert.deepEqual([last.status, last.notBefore, last.report.written, requests], ['completed', undefined, 1, 2]);
});

test('A write that used up the quota counts, and the other records are left to a later tick.', async () => {
  const ids: string[] = [];
  await using target = await serve((request, response) => {
    ids.push(request.url?.split('/').at(-1) ?? '');
    answer(response, 200, {}, ids.length === 3 ? spent : { ...spent, 'x-ratelimit-remaining': '9' });
  });
  const env = { TARGET_URL: target.url, CONCURRENCY: '1' };
  const records = Array.from({ length: 5 }, (_, index) => model(index));
  await using world = await startWorld({ endpoints: etcd.endpoints, records, env });
  const { reason, message, report, notBefore } = await world.tick();
  assert.deepEqual([reason, message], ['throttled', 'the target takes no more requests for 120 s']);
  assert.partialDeepStrictEqual(report, { read: 5, written: 3, failed: 0, unsettled: 2 });
  assert.ok(notBefore);
  assert.equal((await world.tick()).reason, 'quota');
  assert.equal(ids.length, 3);
});

test('A quota that a backfill has met keeps ticks away as well, until its end or until a backfill gets through.', async (t) => {
  await using opened = await open('120');
  const { state, world } = opened;
  const { reason, notBefore } = await world.backfill();
  assert.equal(reason, 'throttled');
  const skip = await world.tick();
  assert.deepEqual([skip.status, skip.reason, state.requests], ['skipped', 'quota', 1]);
  assert.match(`${skip.message}`, new RegExp(`before ${notBefore}: the source asks for a pause of 120 s$`));
  assert.equal((await world.control({ action: 'status' })).notBefore, notBefore);

  state.throttles = false;
  const now = Date.now;
  const later = t.mock.method(Date, 'now', () => now() + 121_000);
  assert.equal((await world.control({ action: 'status' })).notBefore, undefined);
  assert.equal((await world.tick()).status, 'completed');
  later.mock.restore();

  state.throttles = true;
  await world.backfill();
  assert.equal((await world.tick()).reason, 'quota');
  state.throttles = false;
  assert.equal((await world.backfill()).status, 'completed');
  assert.equal((await world.tick()).status, 'completed');
});
