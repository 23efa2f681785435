import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { startFakeLambda } from '../support/chain.ts';
import { model, startWorld } from '../support/world.ts';

/** BACKFILL_RECORDS=50000 makes it a long one. */
const RECORDS = Number(process.env.BACKFILL_RECORDS ?? 2000);
const PAGE = 100;
const TICK_MS = 2000;
/** A chain that has broken takes longer. */
const BOUND_MS = 600_000;

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

test('A tick that finds a detached backfill in its way runs before two more pages of it are settled, and the backfill completes.', async () => {
  await using lambda = await startFakeLambda();
  const records = Array.from({ length: RECORDS }, (_, index) => model(index));
  await using world = await startWorld({
    endpoints: etcd.endpoints,
    records,
    pageSize: PAGE,
    env: { CONCURRENCY: '20' },
  });
  // From now on ticks read only what has changed since.
  assert.equal((await world.tick({ scheduledTime: '2026-02-01T00:00:00Z' }, BOUND_MS)).status, 'completed');
  world.target.writes.length = 0;
  world.target.latencyMs = 20;
  const skipped: { scheduledTime: string; writes: number }[] = [];
  const ran: { scheduledTime: string; token: bigint }[] = [];
  const underWay = new Set<Promise<unknown>>();

  async function tick(event: { scheduledTime: string }) {
    const { status, reason, fencingToken } = await world.tick(event);
    if (status === 'completed') ran.push({ ...event, token: BigInt(fencingToken!) });
    if (reason === 'locked') skipped.push({ ...event, writes: world.target.writes.length });
  }
  const deliver = (work: Promise<unknown>) => {
    const one = work.finally(() => underWay.delete(one));
    underWay.add(one);
  };

  await world.backfill({ since: '2026-01-01T00:00:00Z', detach: true });
  const startedMs = performance.now();
  let [ticks, nextTickMs] = [0, startedMs];
  for (let running = true; running; await sleep(20)) {
    assert.ok(performance.now() - startedMs < BOUND_MS, 'the chain goes on');
    for (const { functionName, event } of lambda.sent.splice(0)) {
      if (functionName.endsWith('-sync')) deliver(tick(event as unknown as { scheduledTime: string }));
      else deliver(world.backfill(event));
    }
    if (performance.now() >= nextTickMs) {
      nextTickMs += TICK_MS;
      deliver(tick({ scheduledTime: new Date(Date.UTC(2026, 1, 1, 0, ++ticks)).toISOString() }));
    }
    running = underWay.size > 0 || lambda.sent.length > 0;
  }
  const [ended] = (await world.control({ action: 'status' })).backfills;
  assert.partialDeepStrictEqual(ended, { status: 'completed', counts: { read: RECORDS, written: RECORDS } });
  assert.ok(skipped.length > 0, 'some tick finds the backfill in its way');
  for (const { scheduledTime, writes } of skipped) {
    const next = ran
      .filter((one) => one.scheduledTime >= scheduledTime)
      .sort((a, b) => (a.token < b.token ? -1 : 1))[0];
    assert.ok(next, `the tick of ${scheduledTime} was skipped and has not run since`);
    const before = world.target.writes.filter(({ token }) => BigInt(token) < next.token).length;
    // The page in flight at the skip, and at most two more.
    assert.ok(
      before - writes <= 3 * PAGE,
      `${before - writes} records were written before the tick of ${scheduledTime}`,
    );
  }
});
