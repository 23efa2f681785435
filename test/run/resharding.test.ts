import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const worldOf = (records: number) =>
  startWorld({ endpoints: etcd.endpoints, records: Array.from({ length: records }, (_, index) => model(index)) });
type World = Awaited<ReturnType<typeof worldOf>>;

/** A write of an old run that was on its way for long. @returns the target's answer */
async function arriveLate(world: World, { id, scope, token }: { id: string; scope: string; token: string }) {
  const response = await fetch(`${world.target.url}/v1/regions/eu/models/${id}`, {
    method: 'PUT',
    headers: { authorization: 'Bearer writer-token', 'x-fencing-scope': scope, 'x-fencing-token': token },
    body: JSON.stringify({ name: 'old' }),
  });
  return response.status;
}

/** All shards of one division, each with a tick. @returns their results */
function ticksOf(world: World, of: number, event: object = {}) {
  world.env.SHARDS = String(of);
  const shards = Array.from({ length: of }, (_, index) => ({ index, of }));
  return Promise.all(shards.map((shard) => world.tick({ ...event, ...(of > 1 && { shard }) })));
}

test('A late write of a run before the number of shards has changed is refused, however often it changes.', async () => {
  await using world = await worldOf(40);
  await ticksOf(world, 1);
  for (const [earlier, now] of [
    [1, 2],
    [2, 3],
    [3, 1],
  ] as const) {
    const late = world.target.writes.slice(-40);
    // A newer version, which the late write must not replace.
    world.source.records = Array.from({ length: 40 }, (_, index) => model(index, 1000 * (now + earlier) + index));
    await ticksOf(world, now);
    assert.equal(await arriveLate(world, late[0]!), 412, `${earlier} to ${now}`);
    assert.equal(await arriveLate(world, late.at(-1)!), 412, `${earlier} to ${now}`);
  }
});

test('The old scopes are closed once by each shard, before anything is written in its own.', async () => {
  await using world = await worldOf(40);
  await ticksOf(world, 1);
  world.target.writes.length = 0;
  world.env.SHARDS = '2';
  // One after the other: of two at once, the one with the lower token finds the scope closed.
  for (const index of [0, 1]) await world.tick({ shard: { index, of: 2 } });
  const { writes } = world.target;
  const scopeOf = (part: string) => `${world.prefix}/lock${part}`;
  assert.equal(writes.filter(({ scope }) => scope === scopeOf('')).length, 2);
  for (const part of ['.shards/0-of-2', '.shards/1-of-2']) {
    const own = writes.findIndex(({ scope }) => scope === scopeOf(part));
    const { token } = writes[own]!;
    const closing = writes.findIndex((write) => write.scope === scopeOf('') && write.token === token);
    assert.ok(closing >= 0 && closing < own);
  }
  world.target.writes.length = 0;
  await ticksOf(world, 2);
  assert.ok(world.target.writes.every(({ scope }) => scope !== scopeOf('')));
});

test('A run whose first records are refused closes the old scopes with the first that is taken.', async () => {
  await using world = await worldOf(10);
  await ticksOf(world, 1);
  const [late] = world.target.writes;
  const refused = new Set(['Model 0', 'Model 1', 'Model 2', 'Model 3']);
  world.target.refuse = (body) => (refused.has((body as { name: string }).name) ? 422 : undefined);
  const results = await ticksOf(world, 2);
  assert.equal(
    results.reduce((sum, { report }) => sum + report.written, 0),
    6,
  );
  assert.equal(await arriveLate(world, late!), 412);
});

test('A backfill closes the old scopes as well, and a run that wrote nothing leaves it to the next.', async () => {
  await using world = await worldOf(10);
  await ticksOf(world, 1);
  const [late] = world.target.writes;
  world.env.SHARDS = '2';
  world.target.refuse = () => 422;
  await ticksOf(world, 2);
  assert.equal(await arriveLate(world, late!), 422, 'nothing was taken, so the fence has not moved');
  world.target.refuse = undefined;
  await world.backfill({ shard: { index: 0, of: 2 } });
  assert.equal(await arriveLate(world, late!), 412);
});
