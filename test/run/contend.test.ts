import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { parseTick } from '../../lib/event.ts';
import { connectEtcd, type Etcd } from '../../lib/lock/etcd.ts';
import { currentHolder, type Holder } from '../../lib/lock/holder.ts';
import { ask } from '../../lib/lock/query.ts';
import { contend } from '../../lib/run/contend.ts';
import { placesOf } from '../../lib/state/places.ts';
import { lastWanted } from '../../lib/state/wanted.ts';
import { setDeadline } from '../../lib/time/deadline.ts';
import { BUDGET, leasesOf } from '../support/locking.ts';
import { model, startWorld } from '../support/world.ts';

// A tick that saw a holder, and what becomes of that holder before the tick has counted its skip.

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const scheduledTime = '2026-01-24T12:15:00.000Z';

/** A tick that contends for a lock after it has looked. `beforeCount` is called before each skip is counted. */
async function startTick(beforeCount: (lockKey: string) => Promise<unknown> = async () => {}) {
  await using stack = new AsyncDisposableStack();
  const world = stack.use(await startWorld({ endpoints: etcd.endpoints, records: [model(1)] }));
  const connection = stack.use(connectEtcd(etcd.endpoints));
  const { settings, log } = world.invocation(60_000, new AbortController().signal);
  const places = placesOf(settings);
  const { lockKey } = places;
  const watched: Etcd = {
    ...connection,
    async txn(operation, ...call) {
      if (operation === 'count the skip') await beforeCount(lockKey);
      return await connection.txn(operation, ...call);
    },
  };
  const owned = stack.move();
  return {
    lockKey,
    holder: () => ask(connection, 'read', currentHolder(lockKey), BUDGET),
    wanted: () => ask(connection, 'read', lastWanted(places), BUDGET),
    async contend(holder: Holder | undefined) {
      await using resources = new AsyncDisposableStack();
      using deadline = setDeadline({ remainingMs: 60_000, reserveSeconds: 1, stop: new AbortController().signal });
      const outcome = await contend(watched, {
        ...{ request: parseTick({ scheduledTime }), runId: 'run-1', startedMs: Date.now(), requestId: 'request-1' },
        ...{ settings, places, holder, deadline, log, resources },
      });
      return 'heldBy' in outcome ? { heldBy: outcome.heldBy.key, skipsInARow: outcome.skipsInARow } : 'ours';
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

test('A tick that finds the lock held is counted, and is the one that is wanted.', async () => {
  await using tick = await startTick();
  const key = `${tick.lockKey}/1f`;
  await etcd.etcdctl(['put', key, '']);
  const holder = await tick.holder();
  assert.deepEqual(await tick.contend(holder), { heldBy: key, skipsInARow: 1 });
  assert.partialDeepStrictEqual(await tick.wanted(), { runId: 'run-1', scheduledTime, count: 1 });
});

test('A tick whose holder ends before the skip is counted takes the lock, and is not counted.', async () => {
  await using tick = await startTick();
  const key = `${tick.lockKey}/1f`;
  await etcd.etcdctl(['put', key, '']);
  const holder = await tick.holder();
  await etcd.etcdctl(['del', key]);
  assert.equal(await tick.contend(holder), 'ours');
  assert.equal(await tick.wanted(), undefined);
  assert.deepEqual(await leasesOf(etcd), []);
});

test('Where the next holder is already there, the skip names that one, and is new to it.', async () => {
  await using tick = await startTick();
  await etcd.etcdctl(['put', `${tick.lockKey}/1f`, '']);
  const holder = await tick.holder();
  await etcd.etcdctl(['del', `${tick.lockKey}/1f`]);
  const next = `${tick.lockKey}/2f`;
  await etcd.etcdctl(['put', next, '']);
  assert.deepEqual(await tick.contend(holder), { heldBy: next, skipsInARow: 1 });
  const { createRevision } = (await tick.holder())!;
  assert.ok(BigInt((await tick.wanted())!.revision) > BigInt(createRevision));
});

test('A tick that always comes just after a holder has ended gives up after ten attempts, and is counted all the same.', async () => {
  let holders = 0;
  await using tick = await startTick(async (lockKey) => {
    await etcd.etcdctl(['del', lockKey, '--prefix']);
    await etcd.etcdctl(['put', `${lockKey}/${++holders}f`, '']);
  });
  await etcd.etcdctl(['put', `${tick.lockKey}/0f`, '']);
  const outcome = await tick.contend(await tick.holder());
  assert.deepEqual(outcome, { heldBy: `${tick.lockKey}/9f`, skipsInARow: 1 });
  assert.equal(holders, 10);
  assert.partialDeepStrictEqual(await tick.wanted(), { scheduledTime, count: 1 });
  assert.deepEqual(await leasesOf(etcd), []);
});
