import { randomBytes } from 'node:crypto';
import { connectEtcd } from '../../../lib/lock/etcd.ts';
import { tryLock } from '../../../lib/lock/mutex.ts';
import { openSession } from '../../../lib/lock/session.ts';

// Alternates between taking and freeing the lock and making the bare etcd calls of both; prints all durations.
const [endpoint, rounds] = process.argv.slice(2) as [string, string];
await using etcd = connectEtcd([endpoint]);
const budget = { attemptMs: 5000, totalMs: 10_000 };
const put = (name: string, lease?: string) => ({
  request_put: {
    key: Buffer.from(`/bench-lock/${name}`),
    value: Buffer.from('{"runId":"bench"}'),
    ...(lease && { lease }),
  },
});

async function own() {
  await using session = await openSession(etcd, { ttlSeconds: 15, acquire: budget });
  const attempt = await tryLock(etcd, session, {
    lockKey: '/bench-lock/lock',
    value: '{"runId":"bench"}',
    read: { operations: [], decode: () => undefined },
  });
  if ('heldBy' in attempt) throw new Error('somebody holds the lock of the bench');
  await attempt.lock.unlock([put('state')], session.budget());
}

async function plain() {
  const lease = (randomBytes(8).readBigUInt64BE() >> 1n).toString();
  await etcd.grant(lease, 15, budget);
  await etcd.txn('put', { success: [put('plain', lease)] }, budget);
  await etcd.txn('put', { success: [put('state')] }, budget);
  await etcd.revoke(lease, budget);
}

async function timed(work: () => Promise<void>) {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

const WARM_UP = 20;
const pairs = [];
for (let round = -WARM_UP; round < Number(rounds); round++) {
  const pair = { own: await timed(own), other: await timed(plain) };
  if (round >= 0) pairs.push(pair);
}
console.log(JSON.stringify({ pairs }));
