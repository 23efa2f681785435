import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as v from 'valibot';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { shardOf } from '../../lib/shard.ts';
import { job } from '../support/job.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const models = (count: number) => Array.from({ length: count }, (_, index) => model(index));
const shards = (of: number) => Array.from({ length: of }, (_, index) => ({ index, of }));

test('Shards run side by side, each with its own lock and fencing scope, and together write every record once.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(700), env: { SHARDS: '3' } });
  world.target.latencyMs = 20;
  const results = await Promise.all(shards(3).map((shard) => world.tick({ kind: 'tick', shard })));
  assert.deepEqual(
    results.map(({ status }) => status),
    ['completed', 'completed', 'completed'],
  );
  assert.equal(
    results.reduce((sum, { report }) => sum + report.written, 0),
    700,
  );
  assert.equal(world.target.writes.length, 700);
  assert.deepEqual(
    [...new Set(world.target.writes.map(({ scope }) => scope))].sort(),
    shards(3).map(({ index }) => `${world.prefix}/lock.shards/${index}-of-3`),
  );
  for (const { id, scope } of world.target.writes) assert.ok(scope.endsWith(`${shardOf(id, 3)}-of-3`));
  const status = await world.control({ action: 'status' });
  assert.equal(status.shards?.length, 3);
  assert.ok(status.shards?.every(({ lastRun }) => lastRun?.status === 'completed'));
});

test('After the number of shards has changed, old ticks are stale and new shards wait for the last old run.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(100) });
  const writing = world.target.nextRequest();
  // The old run still holds the lock when the ticks below have been skipped.
  world.target.latencyMs = 5000;
  const old = world.tick();
  await writing;
  world.env.SHARDS = '2';
  assert.equal((await world.tick()).reason, 'stale');
  assert.equal((await world.tick({ shard: { index: 0, of: 3 } })).reason, 'stale');
  const waiting = await world.tick({ shard: { index: 1, of: 2 } });
  assert.equal(waiting.reason, 'resharding');
  assert.equal(waiting.heldBy?.kind, 'tick');
  const { shards: parts = [] } = await world.control({ action: 'status' });
  assert.deepEqual(
    parts.map(({ heldBy }) => heldBy?.key),
    [waiting.heldBy?.key, waiting.heldBy?.key],
  );
  world.target.latencyMs = 0;
  assert.equal((await old).status, 'completed');
  const first = await world.tick({ shard: { index: 0, of: 2 } });
  const second = await world.tick({ shard: { index: 1, of: 2 } });
  // Each new shard begins with a full pass.
  assert.equal(first.report.written + second.report.written, 100);
});

test('A pause is for all shards, and a backfill has to name its own.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(10), env: { SHARDS: '2' } });
  const { paused } = await world.control({ action: 'pause', note: 'moving house' });
  assert.equal(paused, true);
  for (const shard of shards(2)) assert.equal((await world.tick({ shard })).reason, 'paused');
  await world.control({ action: 'resume' });
  await assert.rejects(world.backfill({}), { name: 'EventError' });
  const results = await Promise.all(shards(2).map((shard) => world.backfill({ shard })));
  assert.equal(
    results.reduce((sum, { report }) => sum + report.written, 0),
    10,
  );
});

test('Where the schema changes the id that was sent, the shard follows from the id that is written.', async () => {
  const { record, ...rest } = job;
  const renaming = v.pipe(
    record as v.GenericSchema<unknown, ReturnType<typeof model>>,
    v.transform((model) => ({ ...model, id: model.id.slice('model-'.length) })),
  );
  const options = { endpoints: etcd.endpoints, records: models(40), env: { SHARDS: '2' } };
  await using world = await startWorld({ ...options, job: { ...rest, record: renaming } });
  for (const shard of shards(2)) assert.equal((await world.tick({ shard })).status, 'completed');
  assert.equal(world.target.writes.length, 40);
  for (const { id, scope } of world.target.writes) assert.ok(scope.endsWith(`${shardOf(id, 2)}-of-2`), id);
});

test('A record goes to the same shard for ever: the first 32 bits of its id’s SHA-256 decide.', () => {
  // sha256("model") begins with 9372c470.
  assert.equal(shardOf('model', 7), 0x9372c470 % 7);
  assert.equal(shardOf('model', 1), 0);
});
