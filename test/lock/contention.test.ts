import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startEtcd } from '../../infra/local/etcd/etcd.ts';
import { keysOf } from '../support/locking.ts';
import { playRaces } from '../support/race.ts';

const ROUNDS = Number(process.env.RACES ?? 20);

test('When 50 clients in 5 processes try the lock at the same moment, exactly one gets it, each time.', async () => {
  await using server = await startEtcd();
  const options = { processes: 5, clients: 10, rounds: ROUNDS, lockKey: '/contention/lock' };
  assert.deepEqual(await playRaces(server.endpoints, options), []);
  assert.deepEqual(await keysOf(server, '/contention/lock/'), []);
});
