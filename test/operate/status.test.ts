import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { describeSkipped, describeStatus } from '../../infra/operate/status.ts';
import { newReport } from '../../lib/report.ts';
import type { BackfillStatus } from '../../lib/run/backfill-status.ts';
import type { Status } from '../../lib/run/status.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

test('The status of a job in shards shows each shard, and a reset names the shards it skipped.', async () => {
  const records = Array.from({ length: 20 }, (_, index) => model(index));
  await using world = await startWorld({ endpoints: etcd.endpoints, records, env: { SHARDS: '2' } });
  for (const index of [0, 1]) await world.tick({ shard: { index, of: 2 } });
  await etcd.etcdctl(['put', `${world.env.LOCK_KEY}.shards/1-of-2/somebody`, '']);

  const text = (status: unknown) => describeStatus(status as Status).join('\n');
  const seen = text(await world.control({ action: 'status' }));
  assert.match(seen, /^shard +0 of 2\nlock +free .*\nlast run +completed[\s\S]*^shard +1 of 2\nlock +held by another/m);
  assert.match(seen, /etcdctl del '.*1-of-2\/somebody'/);
  assert.equal(seen.match(/^watermark +2026-/gm)?.length, 2);

  const status = await world.control({ action: 'reset', what: 'watermark', to: '2026-01-01T00:00:00Z' });
  assert.match(
    describeSkipped(status as Status, 'reset') ?? '',
    /^not reset: shard 1 \(the lock is held by another program/,
  );
  assert.equal(text(status).match(/^watermark +2026-01-01T00:00:00.000Z/gm)?.length, 1);
  await etcd.etcdctl(['del', `${world.env.LOCK_KEY}.shards/1-of-2/somebody`]);
  const again = await world.control({ action: 'reset', what: 'watermark', to: '2026-01-01T00:00:00Z' });
  assert.equal(describeSkipped(again as Status, 'reset'), undefined);
});

test('The status shows a backfill that runs, although others have begun since.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [model(0)] });
  const status = (await world.control({ action: 'status' })) as Status;
  const backfillOf = (id: string, how: 'running' | 'completed'): BackfillStatus => ({
    ...{ id, status: how, windows: 1, window: 0, shards: 1, shardsDone: 0, done: 0.25, attempts: 0 },
    ...{ counts: newReport(), startedAt: '2026-01-01T00:00:00.000Z', updatedAt: '2026-01-01T00:00:00.000Z' },
  });
  const ended = ['e', 'd', 'c', 'b', 'a'].map((id) => backfillOf(id, 'completed'));
  const seen = describeStatus({ ...status, backfills: [...ended, backfillOf('long', 'running')] }).join('\n');
  assert.match(seen, /^backfills +long: running, 25 % done.*\n +e: completed/m);
  assert.match(seen, /--watch long$/m);
});
