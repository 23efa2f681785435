import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { type SentEvent, startFakeLambda } from '../support/chain.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
let lambda: Awaited<ReturnType<typeof startFakeLambda>>;
before(async () => {
  etcd = await startEtcd();
  lambda = await startFakeLambda();
});
after(async () => {
  await lambda[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

type World = Awaited<ReturnType<typeof worldOf>>;

function worldOf(count: number, env: Record<string, string> = {}) {
  lambda.sent.length = 0;
  lambda.status = 202;
  const records = Array.from({ length: count }, (_, index) => model(index));
  return startWorld({ endpoints: etcd.endpoints, records, pageSize: 10, env });
}

/** The events that were sent since the last call. */
const sent = (): SentEvent[] => lambda.sent.splice(0).map(({ event }) => event);

/** Delivers events one after the other, and those that follow from them, until there is none. */
async function playOn(world: World, events: SentEvent[] = sent(), remainingMs?: number) {
  let steps = 0;
  for (const queue = [...events]; queue.length > 0; queue.push(...sent())) {
    await world.backfill(queue.shift()!, remainingMs);
    assert.ok(++steps < 100, 'the chain ends');
  }
  return steps;
}

const backfillOf = async (world: World) => (await world.control({ action: 'status' })).backfills[0]!;
const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();

test('A detached backfill copies window after window, each in a run of its own, and its state says how far it is.', async () => {
  await using world = await worldOf(50);
  const range = { since: at(0), until: at(50), windowSeconds: 20 * 60 };
  const started = await world.backfill({ ...range, detach: true, startedBy: 'somebody' });
  const { backfillId: id = '' } = started;
  assert.partialDeepStrictEqual(started, { status: 'started', job: 'models' });
  const [first] = lambda.sent;
  assert.deepEqual(first, {
    functionName: 'solotick-test-backfill',
    event: { kind: 'continue', backfillId: id, step: 0 },
  });
  const begun = await backfillOf(world);
  assert.partialDeepStrictEqual(begun, {
    id,
    status: 'running',
    windows: 3,
    window: 0,
    done: 0,
    startedBy: 'somebody',
  });
  assert.equal(await playOn(world), 3);
  const ended = await backfillOf(world);
  assert.partialDeepStrictEqual(ended, {
    status: 'completed',
    window: 3,
    shards: 1,
    shardsDone: 1,
    done: 1,
    attempts: 0,
  });
  assert.partialDeepStrictEqual(ended.counts, { read: 50, written: 50 });
  assert.equal(world.target.writes.length, 50);
});

test('An event that comes twice, late or after the end does nothing.', async () => {
  await using world = await worldOf(30);
  await world.backfill({ since: at(0), until: at(30), windowSeconds: 15 * 60, detach: true });
  const [first] = sent();
  await world.backfill(first);
  const [second] = sent();
  const { reason, message } = await world.backfill(first);
  assert.deepEqual([reason, sent()], ['duplicate', []]);
  assert.match(message ?? '', /has reached step 1, so step 0 is an old one/);
  await world.backfill(second);
  const writes = world.target.writes.length;
  assert.equal((await world.backfill(second)).reason, 'duplicate');
  assert.deepEqual([world.target.writes.length, sent()], [writes, []]);
});

test('A start that is sent again goes on with the same backfill; another range is refused, and so is an unknown id.', async () => {
  await using world = await worldOf(10);
  const start = { since: at(0), until: at(10), detach: true, backfillId: 'chosen' };
  await world.backfill(start);
  assert.equal((await world.backfill(start)).backfillId, 'chosen');
  await assert.rejects(world.backfill({ ...start, until: at(9) }), { name: 'EventError', message: /chosen has until/ });
  await assert.rejects(world.backfill({ detach: true, backfillId: 'other' }), {
    message: /no detached backfill other/,
  });
  await assert.rejects(world.backfill({ since: at(0), backfillId: 'chosen' }), { message: /is a detached one/ });
  assert.equal(await playOn(world), 2);
  assert.partialDeepStrictEqual(await backfillOf(world), { status: 'completed', counts: { read: 10 } });
  await assert.rejects(world.backfill(start), { message: /has nothing left to do/ });
});

test('The shards of a job are copied side by side, and single records by the shard that has them.', async () => {
  await using world = await worldOf(40, { SHARDS: '2' });
  const ids = world.source.records.map((record) => (record as { id: string }).id);
  await world.backfill({ ids, detach: true });
  const events = sent();
  assert.deepEqual(
    events.map(({ shard }) => shard),
    [
      { index: 0, of: 2 },
      { index: 1, of: 2 },
    ],
  );
  await Promise.all(events.map((event) => world.backfill(event)));
  const ended = await backfillOf(world);
  assert.partialDeepStrictEqual(ended, {
    status: 'completed',
    ids: 40,
    shards: 2,
    shardsDone: 2,
    counts: { written: 40 },
  });
  assert.equal(world.target.models.size, 40);
});

test('A cancelled backfill ends at once where nobody holds the lock, and goes on where it was when it is resumed.', async () => {
  await using world = await worldOf(30);
  const { backfillId } = await world.backfill({ since: at(0), until: at(30), windowSeconds: 15 * 60, detach: true });
  await world.backfill(sent()[0]);
  const [next] = sent();
  const cancelled = await world.control({ action: 'cancel-backfill', backfillId });
  assert.partialDeepStrictEqual(cancelled.backfills[0], { status: 'cancelled', window: 1, counts: { read: 15 } });
  assert.equal((await world.backfill(next)).reason, 'duplicate');
  await world.control({ action: 'cancel-backfill', backfillId });
  await world.backfill({ detach: true, backfillId });
  assert.equal(await playOn(world), 1);
  assert.partialDeepStrictEqual(await backfillOf(world), { status: 'completed', counts: { read: 30, written: 30 } });
  await assert.rejects(world.control({ action: 'cancel-backfill', backfillId }), {
    message: /has ended already: completed/,
  });
});

test('A backfill that is cancelled while its run holds the lock ends at its next page.', async () => {
  await using world = await worldOf(100);
  world.target.latencyMs = 100;
  const { backfillId } = await world.backfill({ since: at(0), detach: true });
  const writing = world.target.nextRequest();
  const running = world.backfill(sent()[0]);
  await writing;
  const { backfills } = await world.control({ action: 'cancel-backfill', backfillId });
  assert.equal(backfills[0]!.status, 'running');
  assert.partialDeepStrictEqual(await running, { status: 'partial', reason: 'cancelled' });
  const ended = await backfillOf(world);
  assert.equal(ended.status, 'cancelled');
  assert.ok(ended.counts.read < 100);
  assert.deepEqual(sent(), []);
});

test('A backfill that was asked to end and is resumed before it has ended goes on.', async () => {
  await using world = await worldOf(20);
  const { backfillId } = await world.backfill({ since: at(0), detach: true });
  const [event] = sent();
  await etcd.etcdctl(['put', `${world.env.LOCK_KEY}/somebody`, '']);
  const { backfills } = await world.control({ action: 'cancel-backfill', backfillId });
  assert.equal(backfills[0]!.status, 'running');
  await world.backfill({ detach: true, backfillId });
  await etcd.etcdctl(['del', `${world.env.LOCK_KEY}/somebody`]);
  await playOn(world, [event!, ...sent()]);
  assert.partialDeepStrictEqual(await backfillOf(world), { status: 'completed', counts: { read: 20 } });
});

test('A backfill that does not get on is tried again after a pause, gives up after five attempts, and can be resumed.', async () => {
  await using world = await worldOf(10, { FAILURES_BEFORE_STOP: '1' });
  world.source.refuse = () => 500;
  await world.backfill({ since: at(0), detach: true, backfillId: 'failing' });
  const key = `${world.prefix}/state/backfills/failing`;
  const saved = async () => JSON.parse(await etcd.etcdctl(['get', '--print-value-only', key]));
  let [event] = sent();
  for (let attempt = 1; attempt <= 5; attempt++) {
    await assert.rejects(world.backfill(event), { name: 'SourceError' });
    const { detached, ...rest } = await saved();
    assert.equal(detached.attempts, attempt);
    if (attempt === 5) break;
    assert.ok(detached.notBefore > detached.updatedAt);
    [event] = sent();
    assert.equal(event!.step, attempt);
    // Nobody has to wait for the pause.
    const { notBefore: _, ...now } = detached;
    await etcd.etcdctl(['put', key, JSON.stringify({ ...rest, detached: now })]);
  }
  assert.deepEqual(sent(), []);
  const failed = await backfillOf(world);
  assert.partialDeepStrictEqual(failed, { status: 'failed', attempts: 5, lastError: { name: 'SourceError' } });
  assert.deepEqual(
    world.emf.flatMap(({ BackfillFailed }) => BackfillFailed ?? []),
    [1],
  );
  world.source.refuse = undefined;
  await world.backfill({ detach: true, backfillId: 'failing' });
  await playOn(world);
  assert.partialDeepStrictEqual(await backfillOf(world), { status: 'completed', counts: { read: 10 } });
});

test('Where the next event cannot be sent, the step fails and may be delivered again.', async () => {
  await using world = await worldOf(20);
  await world.backfill({ since: at(0), until: at(20), windowSeconds: 10 * 60, detach: true });
  const [event] = sent();
  lambda.status = 400;
  const named = {
    name: 'InvokeError',
    code: 'INVOKE',
    message: new RegExp(`of backfill ${event!.backfillId} was not`),
  };
  await assert.rejects(world.backfill(event), named);
  assert.partialDeepStrictEqual(await backfillOf(world), { status: 'running', window: 1, counts: { read: 10 } });
  lambda.status = 202;
  await world.backfill(event);
  await playOn(world);
  assert.partialDeepStrictEqual(await backfillOf(world), { status: 'completed', counts: { read: 20, written: 20 } });
});

test('A start whose event cannot be sent names the backfill, which is known by then and can be resumed.', async () => {
  await using world = await worldOf(3);
  lambda.status = 403;
  const error = await world.backfill({ detach: true }).catch((error) => error);
  const [, backfillId] = /^the next step of backfill (\S+) was not sent, resume it: /.exec(error.message) ?? [];
  assert.equal(error.code, 'INVOKE');
  assert.equal((await backfillOf(world)).id, backfillId);
  lambda.status = 202;
  await world.backfill({ detach: true, backfillId });
  await playOn(world);
  assert.partialDeepStrictEqual(await backfillOf(world), { status: 'completed', counts: { read: 3, written: 3 } });
});

test('A step that is run by another event does nothing; one that finds an old event in its way waits for it.', async () => {
  await using world = await worldOf(30);
  const range = { since: at(0), until: at(30), windowSeconds: 15 * 60 };
  const { backfillId } = await world.backfill({ ...range, detach: true });
  await world.backfill(sent()[0]);
  const [second] = sent();
  const key = `${world.env.LOCK_KEY}/another`;
  const held = (step: number) =>
    etcd.etcdctl(['put', key, JSON.stringify({ runId: 'run-1', requestId: 'another', backfillId, step })]);
  await held(1);
  assert.deepEqual([(await world.backfill(second, 8000)).reason, sent()], ['duplicate', []]);
  await held(0);
  assert.equal((await world.backfill(second, 8000)).reason, 'locked');
  await etcd.etcdctl(['del', key]);
  assert.equal(await playOn(world), 1);
  assert.equal((await backfillOf(world)).status, 'completed');
});

test('A step that finds the lock held waits, and sends its own event again.', async () => {
  await using world = await worldOf(3);
  await world.backfill({ since: at(0), detach: true });
  const [event] = sent();
  await etcd.etcdctl(['put', `${world.env.LOCK_KEY}/somebody`, '']);
  assert.equal((await world.backfill(event, 8000)).reason, 'locked');
  const [again] = sent();
  assert.deepEqual({ ...again, waits: undefined }, { ...event, waits: undefined });
  assert.ok(again!.waits! > 0);
  await etcd.etcdctl(['del', `${world.env.LOCK_KEY}/somebody`]);
  await playOn(world, [again!]);
  assert.equal((await backfillOf(world)).status, 'completed');
});

test('A step that is sent again while the key of its last wait is still in etcd waits until it is gone.', async () => {
  await using proxy = await startTcpProxy(etcd.endpoints[0]!);
  await using world = await worldOf(3, { ETCD_ENDPOINTS: proxy.url, LOCK_TTL_SECONDS: '10' });
  await world.backfill({ since: at(0), detach: true });
  const [event] = sent();
  const somebody = `${world.env.LOCK_KEY}/somebody`;
  await etcd.etcdctl(['put', somebody, '']);
  const waiting = world.backfill(event, 8000);
  await sleep(1000);
  proxy.mode = 'black-hole';
  assert.equal((await waiting).reason, 'waiting');
  proxy.mode = 'pass';
  proxy.cut();
  await etcd.etcdctl(['del', somebody]);
  const keys = await etcd.etcdctl(['get', '--prefix', '--keys-only', world.env.LOCK_KEY!]);
  assert.notEqual(keys.trim(), '', 'the wait has left its key');
  await playOn(world);
  assert.equal((await backfillOf(world)).status, 'completed');
});

test('A step may wait for as long as a server wants to be left alone, however short its invocations are.', async () => {
  await using world = await worldOf(3);
  await world.backfill({ since: at(0), detach: true, backfillId: 'patient' });
  const [event] = sent();
  const key = `${world.prefix}/state/backfills/patient`;
  const { detached, ...rest } = JSON.parse(await etcd.etcdctl(['get', '--print-value-only', key]));
  const notBefore = new Date(Date.now() + 3_600_000).toISOString();
  await etcd.etcdctl(['put', key, JSON.stringify({ ...rest, detached: { ...detached, notBefore } })]);
  let next: SentEvent | undefined = { ...event!, waits: 1000 };
  for (let invocations = 0; invocations < 2; invocations++) {
    assert.partialDeepStrictEqual(await world.backfill(next, 5500), { reason: 'waiting', notBefore });
    [next] = sent();
  }
  assert.equal(next?.step, event!.step);
});

test('A backfill that runs is listed, however many have begun and ended since, and so is one that has just ended.', async () => {
  await using world = await worldOf(3);
  await world.backfill({ since: at(0), detach: true, backfillId: 'long' });
  const long = sent();
  for (let index = 0; index < 60; index++) {
    await world.backfill({ ids: ['model-00001'], detach: true, backfillId: `short-${index}` });
    await playOn(world);
  }
  const listed = async () => (await world.control({ action: 'status' })).backfills;
  const before = await listed();
  assert.deepEqual([before.length, before[0]!.id, before.at(-1)!.id], [20, 'short-59', 'long']);
  await playOn(world, long);
  assert.partialDeepStrictEqual((await listed()).at(-1), { id: 'long', status: 'completed' });
});
