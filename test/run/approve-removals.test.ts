import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { describeSkipped, describeStatus } from '../../infra/operate/status.ts';
import { leftBehind, lockByHand, NOTHING } from '../support/lock.ts';
import { stored } from '../support/running.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const at = '2026-11-24T12:00:00.000Z';

/** A job that withholds so many removals in each shard. */
async function withholding(...shards: number[]) {
  const env = { SHARDS: String(shards.length) };
  const world = await startWorld({ endpoints: etcd.endpoints, records: [model(0)], env });
  const whole = `${world.prefix}/state/`;
  for (const [index, withheld] of shards.entries()) {
    const prefix = shards.length === 1 ? whole : `${whole}shards/${index}-of-${shards.length}/`;
    const removals = JSON.stringify({ withheld, of: 100, at });
    if (withheld > 0) await etcd.etcdctl(['put', `${prefix}removals`, removals]);
  }
  return world;
}

const approve = (upTo: number) => ({ action: 'approve-removals', upTo });

test('The status shows what is withheld, of how many, since when, and how to approve it.', async () => {
  await using world = await withholding(12);
  const status = await world.control({ action: 'status' });
  assert.deepEqual([status.removalsWithheld, status.removals], [12, { withheld: 12, of: 100, at }]);
  const text = describeStatus(status).join('\n');
  assert.match(text, new RegExp(`^removals +12 of 100 records at the target withheld ${at}, not approved$`, 'm'));
  assert.match(text, /^to approve .*: npx serverless approve-removals --job models --up-to 12$/m);
});

test('An approval is kept until it is withdrawn, takes the lock like a run, and doing it twice is doing it once.', async () => {
  await using world = await withholding(12);
  for (let times = 0; times < 2; times++) {
    const { removals, removalsWithheld, skipped } = await world.control(approve(12));
    assert.deepEqual([removals, removalsWithheld], [{ withheld: 12, of: 100, at, approvedUpTo: 12 }, 12]);
    assert.equal(skipped, undefined);
  }
  assert.deepEqual(await leftBehind(etcd, world.env.LOCK_KEY!), NOTHING);
  const text = describeStatus(await world.control({ action: 'status' })).join('\n');
  assert.match(text, /^removals .*, approved: the next full pass removes them$/m);
  assert.doesNotMatch(text, /approve-removals/);
  assert.deepEqual((await world.control(approve(0))).removals, { withheld: 12, of: 100, at });
});

test('An approval of fewer than are withheld is kept as it is, and the status says that it is not enough.', async () => {
  await using world = await withholding(12);
  const status = await world.control(approve(5));
  assert.equal(status.removals?.approvedUpTo, 5);
  assert.match(describeStatus(status).join('\n'), /approved up to 5\n[\s\S]*--up-to 12$/m);
});

for (const shards of [1, 2]) {
  test(`Where nothing is withheld, an approval is an error that says so (${shards} shards).`, async () => {
    await using world = await withholding(...Array.from({ length: shards }, () => 0));
    for (const upTo of [0, 12]) {
      await assert.rejects(world.control(approve(upTo)), {
        ...{ name: 'EventError', code: 'EVENT', message: 'no removals are withheld, so there is nothing to approve' },
      });
    }
    assert.deepEqual(await stored(etcd, world.prefix), []);
  });
}

test('While somebody else holds the lock, nothing is approved, and the holder is named.', async () => {
  await using world = await withholding(12);
  const before = await stored(etcd, world.prefix);
  await using terminal = lockByHand(etcd, world.env.LOCK_KEY!);
  const key = await terminal.acquired;
  const status = await world.control(approve(12));
  assert.deepEqual([status.skipped?.reason, status.skipped?.heldBy?.key], ['locked', key]);
  assert.match(describeSkipped(status, 'approved') ?? '', /^nothing was approved: the lock is held/);
  assert.deepEqual(await stored(etcd, world.prefix), before);
});

test('In shards, an approval is for all together: each is approved what it withholds, and one that withholds nothing, nothing.', async () => {
  await using world = await withholding(12, 0, 30);
  const status = await world.control(approve(42));
  assert.deepEqual(
    status.shards?.map(({ removals }) => removals?.approvedUpTo),
    [12, undefined, 30],
  );
  assert.deepEqual(
    [status.removalsWithheld, status.removals, status.notApproved],
    [42, { withheld: 42, of: 200, at, approvedUpTo: 42 }, undefined],
  );
  const withdrawn = await world.control(approve(0));
  assert.deepEqual(withdrawn.removals, { withheld: 42, of: 200, at });
  assert.match(describeStatus(withdrawn).join('\n'), /approve-removals --job models --up-to 42$/);
});

test('In shards, an approval of fewer than all withhold together approves nothing, and says how many each withholds.', async () => {
  await using world = await withholding(12, 0, 30);
  const before = await stored(etcd, world.prefix);
  const { notApproved, removalsWithheld } = await world.control(approve(41));
  assert.equal(removalsWithheld, 42);
  assert.equal(
    notApproved,
    'the shards withhold 42 removals, which is more than 41 (shard 0 of 3: 12, shard 2 of 3: 30)',
  );
  assert.deepEqual(await stored(etcd, world.prefix), before);
});
