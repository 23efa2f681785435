import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { createModelEtcd } from './etcd.ts';
import { holdAgainst } from './hold-against.ts';

let server: LocalEtcd;
before(async () => {
  server = await startEtcd();
});
after(() => server[Symbol.asyncDispose]());

const first = Number(process.env.SIM_SEED ?? 1);

test('The model of etcd answers the same random calls as the real one does, errors included.', {
  timeout: 600_000,
}, async (t) => {
  t.diagnostic(`the same again: npm run test:sim -- --model 300 --seed ${first}`);
  const { differences, calls } = await holdAgainst(server.endpoints[0]!, { first, sequences: 300 });
  assert.deepEqual(differences, []);
  assert.ok(calls > 1000);
});

test('The model ends a lease that nobody keeps alive, and its keys, as etcd does.', { timeout: 600_000 }, async () => {
  const put = (key: string, lease: string) => ({
    request_put: { key: Buffer.from(key), value: Buffer.from(''), lease },
  });
  const due: { ms: number; act: () => void }[] = [];
  const expired: string[] = [];
  let nowMs = 0;
  const model = createModelEtcd({
    nowMs: () => nowMs,
    at: (ms, act) => due.push({ ms, act }),
    expired: (id) => expired.push(id),
  });
  const [short, long] = ['4711', '4712'];
  model.grant(short, 2);
  model.grant(long, 600);
  model.txn({ success: [put('/ends/short', short), put('/ends/long', long)] });
  nowMs = 1000;
  assert.equal(model.keepAlive(short), 2);
  for (nowMs = 1000; nowMs <= 10_000; nowMs += 500)
    for (const { act } of due.splice(0, due.length).filter(({ ms, act }) => ms <= nowMs || !due.push({ ms, act })))
      act();
  assert.deepEqual([expired, model.keysUnder('/ends/')], [[short], ['/ends/long']]);

  const list = async () => (await server.etcdctl(['get', '--prefix', '--keys-only', '/ends/'])).trim().split(/\s+/);
  const leaseOf = async (seconds: string) => (await server.etcdctl(['lease', 'grant', seconds])).split(' ')[1]!;
  await server.etcdctl(['put', '/ends/short', '', `--lease=${await leaseOf('2')}`]);
  await server.etcdctl(['put', '/ends/long', '', `--lease=${await leaseOf('600')}`]);
  for (let tries = 0; tries < 300 && (await list()).length > 1; tries++) await sleep(200);
  assert.deepEqual(await list(), ['/ends/long']);
});
