import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { describeStatus } from '../../infra/operate/status.ts';
import { connectEtcd, type Etcd } from '../../lib/lock/etcd.ts';
import { describeHolder, hex, unhex } from '../../lib/lock/holder.ts';
import { ask } from '../../lib/lock/query.ts';
import { otherDivision } from '../../lib/state/other-division.ts';
import { placesOf } from '../../lib/state/places.ts';
import { BUDGET } from '../support/locking.ts';
import { model, startWorld } from '../support/world.ts';

let local: LocalEtcd;
let etcd: Etcd;
before(async () => {
  local = await startEtcd();
  etcd = connectEtcd(local.endpoints);
});
after(async () => {
  await etcd[Symbol.asyncDispose]();
  await local[Symbol.asyncDispose]();
});

const MANY = 20_000;
const VALUE = JSON.stringify({ runId: 'r'.repeat(200), kind: 'tick', startedAt: '2026-01-01T00:00:00Z' });

/** Puts 20,000 keys below `prefix`, each with a value like that of a run; together they are more than gRPC takes. */
async function putMany(prefix: string) {
  for (let at = 0; at < MANY; at += 100) {
    const success = Array.from({ length: 100 }, (_, index) => ({
      request_put: { key: Buffer.from(`${prefix}${String(at + index).padStart(5, '0')}`), value: Buffer.from(VALUE) },
    }));
    await etcd.txn('fill', { success }, BUDGET);
  }
}

const worldOf = (shards: number) =>
  startWorld({ endpoints: local.endpoints, records: [model(1), model(2)], env: { SHARDS: String(shards) } });

test('20,000 keys under the lock are one skip, one status, and a number.', async () => {
  await using world = await worldOf(1);
  await putMany(`${world.env.LOCK_KEY}/`);
  const { reason, heldBy, message } = await world.tick();
  assert.deepEqual([reason, heldBy?.waiting], ['locked', MANY - 1]);
  assert.match(message ?? '', /; keys that wait behind it: 19999$/);
  const status = await world.control({ action: 'status' });
  assert.deepEqual([status.heldBy?.key, status.heldBy?.waiting], [`${world.env.LOCK_KEY}/00000`, MANY - 1]);
  assert.match(describeStatus(status).join('\n'), /^lock +held by tick r+ .*; keys that wait behind it: 19999$/m);
});

test('20,000 locks of another division are a skip for resharding, in whatever division the job is now.', async () => {
  for (const [shards, other] of [
    [1, '.shards/0-of-2/'],
    [1, '.shards/9-of-10/'],
    [2, '/'],
    [2, '.shards/0-of-20/'],
    [2, '.shards/1-of-3/'],
  ] as const) {
    await using world = await worldOf(shards);
    await putMany(world.env.LOCK_KEY + other);
    const event = shards === 1 ? {} : { shard: { index: 1, of: shards } };
    const { reason, heldBy, message } = await world.tick(event);
    assert.deepEqual([reason, heldBy?.waiting], ['resharding', MANY - 1], other);
    assert.ok(message?.includes(`${world.env.LOCK_KEY}${other}00000, and keys more: 19999`), message);
    const status = await world.control({ action: 'status' });
    assert.deepEqual([status.consecutiveSkips, (status.shards?.[0] ?? status).heldBy?.kind], [0, 'tick']);
  }
});

test('Locks of another division with values as large as etcd takes are a skip, too.', async () => {
  await using world = await worldOf(2);
  const value = Buffer.alloc(1_400_000, 'x');
  for (const other of ['/', '.shards/0-of-3/', '.shards/1-of-3/'])
    for (let index = 0; index < 6; index++) {
      const key = Buffer.from(`${world.env.LOCK_KEY}${other}${index}`);
      await etcd.txn('fill', { success: [{ request_put: { key, value } }] }, BUDGET);
    }
  const { reason, heldBy } = await world.tick({ shard: { index: 1, of: 2 } });
  assert.deepEqual([reason, heldBy?.waiting], ['resharding', 5]);
  const { shards } = await world.control({ action: 'status' });
  assert.equal(shards?.length, 2);
});

test('Keys that wait for the lock of one shard, and keys that are no locks, hold up no other shard.', async () => {
  await using world = await worldOf(2);
  await putMany(`${world.env.LOCK_KEY}.shards/0-of-2/`);
  for (const stray of ['.shards/notes', '.shards0/x', '.x/1', '0/1', '.shards/0-of-2'])
    await local.etcdctl(['put', `${world.env.LOCK_KEY}${stray}`, 'x']);
  assert.equal((await world.tick({ shard: { index: 1, of: 2 } })).status, 'completed');
  assert.equal((await world.tick({ shard: { index: 0, of: 2 } })).reason, 'locked');
});

test('Among 1000 shards each lock of another division is found, wherever it lies, and none of our own.', async () => {
  const settings = { lockKey: '/many/lock', statePrefix: '/many/state/', shards: 1000 };
  const find = () => ask(etcd, 'find', otherDivision(placesOf(settings)), BUDGET);
  for (const own of ['.shards/0-of-1000/1', '.shards/999-of-1000/1', '.shards/500-of-1000/1'])
    await local.etcdctl(['put', `/many/lock${own}`, '']);
  assert.equal(await find(), undefined);
  for (const other of [
    '/1',
    '.shards/0-of-999/1',
    '.shards/500-of-1001/1',
    '.shards/999-of-10000/1',
    '.shards/1-of-2/1',
  ]) {
    await local.etcdctl(['put', `/many/lock${other}`, '']);
    assert.equal((await find())?.key, `/many/lock${other}`);
    await local.etcdctl(['del', `/many/lock${other}`]);
  }
});

test('A lease with a negative id is shown as Go prints it, with what is left of it.', async () => {
  assert.deepEqual(['-5', '-9223372036854775808', '0', '255'].map(hex), ['-5', '-8000000000000000', '0', 'ff']);
  for (const id of ['-5', '-9223372036854775808', '0', '255']) assert.equal(unhex(hex(id)), id);
  await using world = await worldOf(1);
  await etcd.grant('-5', 60, BUDGET);
  const put = { request_put: { key: Buffer.from(`${world.env.LOCK_KEY}/-5`), value: Buffer.from(''), lease: '-5' } };
  await etcd.txn('hold', { success: [put] }, BUDGET);
  const { heldBy, advice } = await world.control({ action: 'status' });
  assert.equal(heldBy?.leaseId, '-5');
  const left = heldBy?.leaseRemainingSeconds ?? 0;
  assert.ok(left > 0 && left <= 60, `${left} s`);
  assert.equal(advice, undefined);
  assert.match((await world.tick()).message ?? '', /lease -5$/);
  await etcd.revoke('-5', BUDGET);
});

test('The value of a strange holder says nothing where it is no object of texts, and little where its texts are long.', async () => {
  const key = { key: Buffer.from('/lock/1'), lease: '1', create_revision: '7', mod_revision: '7', version: '1' };
  const bare = { key: '/lock/1', leaseId: '1', createRevision: '7' };
  for (const value of [
    'null',
    '[]',
    '["runId"]',
    '"runId"',
    '7',
    'true',
    '',
    '{',
    '{"runId":{"a":1},"kind":[]}',
    '\xff',
  ])
    assert.deepEqual(describeHolder({ ...key, value: Buffer.from(value, 'latin1') }), bare, value);
  const long = { runId: 'ü'.repeat(700_000), startedAt: '2026', more: 'x' };
  const { runId, ...rest } = describeHolder({ ...key, value: Buffer.from(JSON.stringify(long)) });
  assert.match(runId ?? '', /^ü+… \(1400000 bytes\)$/);
  assert.deepEqual(rest, { ...bare, startedAt: '2026' });
});

test('A key whose name a shell would read is quoted in the command that deletes it, and a very long one is not cut.', async () => {
  await using world = await worldOf(1);
  const adviceFor = async (name: string) => {
    const key = Buffer.from(`${world.env.LOCK_KEY}/${name}`);
    await etcd.txn('hold', { success: [{ request_put: { key, value: Buffer.from('') } }] }, BUDGET);
    const { advice } = await world.control({ action: 'status' });
    await etcd.txn('free', { success: [{ request_delete_range: { key } }] }, BUDGET);
    return advice?.replace(/^.*deletes it(: |; )/, '');
  };
  const lock = world.env.LOCK_KEY;
  assert.equal(await adviceFor("it's"), `etcdctl del '${lock}/it'\\''s'`);
  assert.equal(await adviceFor('a\u001b[2J\n\u202eb'), `etcdctl del $'${lock}/a\\033[2J\\012\\342\\200\\256b'`);
  assert.match((await adviceFor('x'.repeat(1_000_000))) ?? '', /^its name is too long for a command here/);
});
