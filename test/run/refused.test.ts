import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import type { TargetJob } from '../../lib/job-types.ts';
import { job as shipped } from '../support/job.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const models = (count: number) => Array.from({ length: count }, (_, index) => model(index));

for (const status of [403, 308, 404, 405, 413]) {
  test(`A target that answers ${status} to everybody ends each tick with an error, soon, and costs no record.`, async () => {
    await using world = await startWorld({ endpoints: etcd.endpoints, records: models(1500) });
    world.target.refuse = () => status;
    for (let tick = 0; tick < 6; tick++) {
      await assert.rejects(world.tick(), { name: 'TargetRefusedError', message: new RegExp(`answered ${status}`) });
    }
    assert.ok(world.target.refusals.length <= 6 * 200, `${world.target.refusals.length} requests`);
    assert.deepEqual(
      world.emf.map(({ Success }) => Success),
      Array(6).fill(0),
    );
    const { failed, watermark } = await world.control({ action: 'status' });
    assert.deepEqual([failed, watermark], [[], undefined]);

    world.target.refuse = undefined;
    assert.equal((await world.tick()).status, 'completed');
    assert.equal(world.target.models.size, 1500);
  });
}

for (const status of [404, 410]) {
  test(`That a target answers ${status} to removals as well does not mean that it takes records.`, async () => {
    const remove = (id: string) => ({ method: 'DELETE' as const, path: `/v1/regions/eu/models/${id}` });
    const deleted = ({ limit }: ReturnType<typeof model>) => limit.context % 10 === 5;
    await using world = await startWorld({
      ...{ endpoints: etcd.endpoints, records: models(300), env: { CONCURRENCY: '5' }, job: { deleted } },
      writes: { ...(shipped.target as TargetJob<ReturnType<typeof model>>), remove },
    });
    world.target.refuse = () => status;
    world.target.refuseRemoval = () => status;
    await assert.rejects(world.tick(), { name: 'TargetRefusedError', message: new RegExp(`answered ${status}`) });
    assert.deepEqual((await world.control({ action: 'status' })).failed, []);
    world.target.refuse = undefined;
    const { status: ended, report } = await world.tick();
    assert.deepEqual([ended, report.written, report.removed, report.failed], ['completed', 270, 30, 0]);
  });
}

test('Twenty refused records and none written mean the target, also where the list ends with them; nineteen may be to blame themselves.', async () => {
  await using twenty = await startWorld({ endpoints: etcd.endpoints, records: models(20) });
  twenty.target.refuse = () => 422;
  await assert.rejects(twenty.tick(), { name: 'TargetRefusedError' });
  assert.deepEqual((await twenty.control({ action: 'status' })).failed, []);

  await using nineteen = await startWorld({ endpoints: etcd.endpoints, records: models(19) });
  nineteen.target.refuse = () => 422;
  const { status, report } = await nineteen.tick();
  assert.deepEqual([status, report.failed], ['completed', 19]);
});

test('Bad records at the head of the list do not hide the good ones behind them.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(200) });
  world.target.refuse = (body) => (Number((body as { name: string }).name.slice(6)) < 60 ? 422 : undefined);
  const { status, report } = await world.tick();
  assert.deepEqual([status, report.written, report.failed], ['completed', 140, 60]);
});

test('Records that were refused before are given up, although nothing else is written.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(26) });
  world.target.refuse = (body) => ((body as { name: string }).name === 'Model 25' ? undefined : 422);
  for (let tick = 0; tick < 6; tick++) assert.equal((await world.tick()).status, 'completed');
  const { failed } = await world.control({ action: 'status' });
  assert.equal(failed.length, 25);
  // Those of the last minute come with the list as well.
  assert.ok(failed.every(({ attempts }) => attempts >= 5));
});

test('A target that begins to refuse everybody in the middle of a run costs no record, however long it does so.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(900) });
  world.target.refuse = () => (world.target.writes.length >= 100 ? 403 : undefined);
  assert.equal((await world.tick()).status, 'completed');
  for (let tick = 0; tick < 6; tick++) await assert.rejects(world.tick(), { name: 'TargetRefusedError' });
  assert.ok(world.target.refusals.length <= 800 + 6 * 200, `${world.target.refusals.length} requests`);
  world.target.refuse = undefined;
  assert.equal((await world.tick()).status, 'completed');
  assert.equal(world.target.models.size, 900);
});

test('A target that refuses everybody is told as well where each tick has few new records for it.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(10) });
  world.target.refuse = () => 403;
  assert.equal((await world.tick()).report.failed, 10);
  for (let tick = 1; tick < 7; tick++) {
    world.source.records = models(10 * (tick + 1));
    await assert.rejects(world.tick(), { name: 'TargetRefusedError' });
  }
  world.target.refuse = undefined;
  assert.equal((await world.tick()).status, 'completed');
  assert.equal(world.target.models.size, 70);
});

test('A target that refuses everybody is asked no more often where scopes of another number of shards are open.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(300), env: { SHARDS: '20' } });
  for (let index = 0; index < 20; index++) await world.tick({ shard: { index, of: 20 } });
  world.env.SHARDS = '1';
  world.target.refuse = () => 403;
  await assert.rejects(world.tick(), { name: 'TargetRefusedError' });
  assert.ok(world.target.refusals.length <= 200, `${world.target.refusals.length} requests`);
});

test('A backfill of single records that are all refused by the target is an error, too.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(40) });
  world.target.refuse = () => 403;
  await assert.rejects(world.backfill({ ids: models(40).map(({ id }) => id) }), { name: 'TargetRefusedError' });
});

for (const status of [301, 403, 451]) {
  test(`An id that the source answers with ${status} fails alone, and the other records of the backfill are written.`, async () => {
    await using world = await startWorld({ endpoints: etcd.endpoints, records: models(60) });
    world.source.refuse = (path) => (path.endsWith('/model-00021') ? status : undefined);
    const ids = models(60).map(({ id }) => id);
    const { status: ended, report, failedIds, problems } = await world.backfill({ ids });
    assert.deepEqual([ended, report.read, report.written, report.failed], ['completed', 60, 59, 1]);
    assert.deepEqual(failedIds, ['model-00021']);
    assert.match(problems?.[0]?.reason ?? '', new RegExp(`${status}`));
  });
}

test('An id that the source answers with 410 is missing, like one with 404.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(3) });
  world.source.refuse = (path) => (path.endsWith('/model-00001') ? 410 : undefined);
  const { report } = await world.backfill({ ids: ['model-00000', 'model-00001', 'no-such', 'model-00002'] });
  assert.deepEqual([report.written, report.missing, report.failed], [2, 2, 0]);
});

test('A source that refuses every id of a backfill is to blame, and no record is.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(60) });
  world.source.refuse = () => 403;
  await assert.rejects(world.backfill({ ids: models(60).map(({ id }) => id) }), { name: 'SourceError', status: 403 });
});

test('Ids that the source refuses at the head of a backfill do not keep it from the others.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(60) });
  world.source.refuse = (path) => (/model-000[01]\d$/.test(path) ? 403 : undefined);
  const { status, report, failedIds } = await world.backfill({ ids: models(60).map(({ id }) => id) });
  assert.deepEqual([status, report.written, report.failed, failedIds?.length], ['completed', 40, 20, 20]);
});

test('A source that refuses every id is asked for a hundred of them.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [] });
  world.source.refuse = () => 403;
  const ids = models(500).map(({ id }) => id);
  await assert.rejects(world.backfill({ ids }), { name: 'SourceError', status: 403 });
  assert.equal(world.source.requests.length, 100);
});
