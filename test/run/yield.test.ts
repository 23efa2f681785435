import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import type { Listing, Page } from '../../lib/job-types.ts';
import type { Result } from '../../lib/run/result.ts';
import { startLambda } from '../support/lambda.ts';
import { leftBehind, NOTHING } from '../support/lock.ts';
import { until } from '../support/pipeline.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const PAGES = 8;
const PAGE_SIZE = 5;
const DUE = '2026-01-24T12:15:00.000Z';

/** A world whose source answers a page when `before` allows it. A backfill reads all pages, a tick the first one only. */
async function start(env: Record<string, string> = {}) {
  await using stack = new AsyncDisposableStack();
  const lambda = stack.use(await startLambda());
  const gate = { before: async (_page: number): Promise<unknown> => undefined };
  async function* list({ cursor, since }: Listing): AsyncGenerator<Page> {
    for (let page = Number(cursor ?? 0); page < PAGES; page++) {
      if (since !== undefined) await gate.before(page);
      const last = since === undefined || page === PAGES - 1;
      const records = Array.from({ length: PAGE_SIZE }, (_, index) => model(page * PAGE_SIZE + index));
      yield { records, cursor: last ? null : String(page + 1) };
    }
  }
  const world = stack.use(await startWorld({ endpoints: etcd.endpoints, records: [], list, env }));
  const owned = stack.move();
  const skipped: Result[] = [];
  return {
    ...{ world, lambda, gate, skipped },
    backfill: (more: object = {}) => world.backfill({ since: '2026-01-01T00:00:00Z', ...more }),
    /** Lets a tick find the lock held while the backfill waits for this page. */
    tickAt(held: number, scheduledTime = DUE) {
      gate.before = async (page) => {
        if (page === held) skipped.push(await world.tick({ scheduledTime }));
        // A checkpoint is saved while the next pages are read, so these must not all be there before its answer.
        else if (page > held) await sleep(500);
      };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const invocationOf = (event: object) => ({
  ...{ path: '/2015-03-31/functions/solotick-test-sync/invocations', type: 'Event', event },
});

test('A backfill that a tick finds in its way ends at the next settled page, and sends that tick again once the lock is free.', async () => {
  await using it = await start();
  it.tickAt(2);
  const first = await it.backfill();
  assert.deepEqual([it.skipped[0]?.reason, first.status, first.reason], ['locked', 'partial', 'yielded']);
  assert.match(first.message ?? '', /^the backfill makes way for a tick that found the lock held at 2/);
  assert.ok(first.report.pages < PAGES, `it copied ${first.report.pages} pages`);
  assert.ok(first.report.written >= PAGE_SIZE);
  assert.deepEqual(it.lambda.invocations, [invocationOf({ kind: 'tick', scheduledTime: DUE })]);
  assert.deepEqual(await leftBehind(etcd, it.world.env.LOCK_KEY!), NOTHING);
  assert.ok(it.world.emf.some((line) => line.kind === 'backfill' && line.Yielded === 1 && line.Partial === 1));

  assert.equal((await it.world.tick({ scheduledTime: DUE })).status, 'completed');
  const rest = await it.backfill({ backfillId: first.backfillId });
  assert.equal(rest.status, 'completed');
  // Each page is counted once, however often the backfill made way.
  assert.equal(rest.pass?.read, PAGES * PAGE_SIZE);
  assert.equal(rest.pass?.pages, PAGES);
  assert.equal(it.lambda.invocations.length, 1);
});

test('A backfill makes way as often as a tick comes, and gets on by a page at least each time.', async () => {
  await using it = await start();
  it.gate.before = async () => void it.skipped.push(await it.world.tick({}));
  let runs = 0;
  let backfillId: string | undefined;
  for (let last: Result | undefined; last?.status !== 'completed'; runs++) {
    // The tick of a page that was asked for too much may still hold the lock.
    last = await it.backfill({ waitSeconds: 30, ...(backfillId && { backfillId }) });
    assert.ok(last.status === 'completed' || last.reason === 'yielded');
    backfillId = last.backfillId;
    if (last.status === 'completed') assert.equal(last.pass?.read, PAGES * PAGE_SIZE);
    // The tick that was made way for; the source may have been asked for one more page when the backfill ended, and for a tick by that.
    const { status, heldBy } = await it.world.tick({});
    assert.ok(status === 'completed' || heldBy?.kind === 'tick');
  }
  assert.ok(runs > 1 && runs <= PAGES, `it took ${runs} runs`);
});

test('A tick that comes when nothing is left to interrupt is sent again all the same.', async () => {
  await using it = await start();
  it.tickAt(PAGES - 1);
  const { status, reason } = await it.backfill();
  // Its last page but one may have settled after that tick had come.
  assert.ok(status === 'completed' || reason === 'yielded');
  assert.deepEqual(it.lambda.invocations, [invocationOf({ kind: 'tick', scheduledTime: DUE })]);
});

test('A backfill that fails sends the tick again that found it in its way.', async () => {
  await using it = await start();
  it.gate.before = async (page) => {
    if (page < 1) return;
    await it.world.tick({});
    throw new Error('the source breaks down');
  };
  await assert.rejects(it.backfill(), /the source breaks down/);
  assert.deepEqual(it.lambda.invocations, [invocationOf({ kind: 'tick' })]);
});

test('With YIELD=never a backfill keeps the lock, and no tick is sent again.', async () => {
  await using it = await start({ YIELD: 'never' });
  it.tickAt(2);
  assert.equal((await it.backfill()).status, 'completed');
  assert.equal(it.skipped[0]?.reason, 'locked');
  assert.deepEqual(it.lambda.invocations, []);
});

test('A tick that Lambda does not take is an error in the log, and the backfill is partial all the same.', async () => {
  await using it = await start();
  it.tickAt(2);
  await it.lambda[Symbol.asyncDispose]();
  assert.equal((await it.backfill()).reason, 'yielded');
  assert.ok(it.world.lines.some(({ level, message }) => level === 'error' && /could not be sent again/.test(message)));
});

for (const waitSeconds of [0, 60]) {
  test(`A backfill that made way and comes back, to wait ${waitSeconds} s for the lock, lets the tick go first.`, async () => {
    await using it = await start();
    it.tickAt(2);
    const { backfillId } = await it.backfill();
    it.gate.before = async () => undefined;
    const waiting = it.backfill({ backfillId, waitSeconds });
    const isWaiting = () => it.world.lines.some(({ message }) => /^a tick is on its way/.test(message));
    await until(isWaiting);
    const tick = await it.world.tick({ scheduledTime: DUE });
    assert.equal(tick.status, 'completed');
    const rest = await waiting;
    // Without a wait it may have looked while the tick still held the lock.
    if (waitSeconds === 0 && rest.status === 'skipped') return assert.equal(rest.heldBy?.runId, tick.runId);
    assert.equal(rest.status, 'completed');
    assert.ok(BigInt(rest.fencingToken!) > BigInt(tick.fencingToken!));
  });
}

test('A second backfill that would queue while one makes way lets the tick go first as well.', async () => {
  await using it = await start();
  const isWaiting = () => it.world.lines.some(({ message }) => /^a tick is on its way/.test(message));
  let second: Promise<Result> | undefined;
  it.gate.before = async (page) => {
    if (page !== 2) return;
    await it.world.tick({ scheduledTime: DUE });
    // As in `tickAt`.
    it.gate.before = async (later) => (later > page ? sleep(500) : undefined);
    second = it.backfill({ waitSeconds: 60 });
    // It keeps out of the queue, which would come before any tick.
    await until(isWaiting);
  };
  assert.equal((await it.backfill()).reason, 'yielded');
  const tick = await it.world.tick({ scheduledTime: DUE });
  assert.equal(tick.status, 'completed');
  const { status, fencingToken } = await second!;
  assert.equal(status, 'completed');
  assert.ok(BigInt(fencingToken!) > BigInt(tick.fencingToken!));
});

test('A backfill that waits behind one that makes way, until its own deadline, says who holds the lock.', async () => {
  await using it = await start();
  const key = `${it.world.env.LOCK_KEY}/1`;
  await etcd.etcdctl(['put', key, JSON.stringify({ kind: 'backfill', runId: 'slow', startedAt: DUE })]);
  await it.world.tick({ scheduledTime: DUE });
  const { status, reason, heldBy } = await it.world.backfill({ waitSeconds: 60 }, 8000);
  assert.deepEqual([status, reason, heldBy?.runId], ['skipped', 'locked', 'slow']);
});

test('Where the tick does not come, a backfill goes on after a while.', async () => {
  await using it = await start();
  it.tickAt(2);
  const { backfillId } = await it.backfill();
  it.gate.before = async () => undefined;
  assert.equal((await it.backfill({ backfillId })).status, 'completed');
  // A tick of long ago is not new to the run that took the lock after it.
  assert.equal(it.lambda.invocations.length, 1);
});
