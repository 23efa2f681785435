import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as v from 'valibot';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import type { TargetJob } from '../../lib/job-types.ts';
import { MAX_RECENT, packRecent, unpackRecent } from '../../lib/state/recent.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const models = (count: number) => Array.from({ length: count }, (_, index) => model(index));
const at = (name: string, updatedAt: string) => ({ ...model(5), name, updatedAt });
const JANUARY = '2026-01-01T00:00:00.000Z';
const FEBRUARY = '2026-02-01T00:00:00.000Z';
const nameAt = (world: Awaited<ReturnType<typeof startWorld>>) =>
  (world.target.models.get('model-00005') as { name: string }).name;

for (const pageSize of [1, 2, 1000]) {
  test(`Of one id the newer version stays, whatever the order of reading (pages of ${pageSize}).`, async () => {
    const newest = { ...model(999), updatedAt: '2026-02-01T00:10:00.000Z' };
    const records = [at('February', FEBRUARY), newest, at('January', JANUARY)];
    await using world = await startWorld({ endpoints: etcd.endpoints, records, pageSize });
    const { report } = await world.tick();
    assert.equal(nameAt(world), 'February');
    assert.deepEqual([report.read, report.written, report.unchanged], [3, 2, 1]);
  });
}

test('Two versions with the same time are both written, in the order of reading.', async () => {
  const records = [at('first', JANUARY), at('second', JANUARY)];
  await using world = await startWorld({ endpoints: etcd.endpoints, records });
  assert.equal((await world.tick()).report.written, 2);
  assert.equal(nameAt(world), 'second');
});

test('A source that lags at the next tick does not bring back the older version, however many ticks it lags.', async () => {
  const records = [at('newer', '2026-02-01T00:00:30.000Z'), { ...model(9), updatedAt: '2026-02-01T00:00:40.000Z' }];
  await using world = await startWorld({ endpoints: etcd.endpoints, records });
  await world.tick();
  world.source.records[0] = at('older', '2026-02-01T00:00:10.000Z');
  const { report } = await world.tick();
  assert.equal(nameAt(world), 'newer');
  assert.deepEqual([report.read, report.written, report.unchanged], [2, 0, 2]);
  // Nor at the tick after that one, which has not seen the newer version itself.
  assert.equal((await world.tick()).report.written, 0);
  assert.equal(nameAt(world), 'newer');
});

test('An idle source costs reads only: what the last pass has left at the target is not written again.', async () => {
  const records = models(3000).map((record) => ({ ...record, updatedAt: FEBRUARY }));
  await using world = await startWorld({ endpoints: etcd.endpoints, records });
  assert.equal((await world.tick()).report.written, 3000);
  for (let tick = 0; tick < 2; tick++) {
    const { status, report } = await world.tick();
    assert.deepEqual([status, report.read, report.written, report.unchanged], ['completed', 3000, 0, 3000]);
  }
  // Another content with the same time is another version.
  world.source.records[7] = { ...(records[7] as object), name: 'changed within the second' };
  assert.equal((await world.tick()).report.written, 1);
  assert.equal((world.target.models.get('model-00007') as { name: string }).name, 'changed within the second');
});

test('A reset of the watermark writes everything again, and so does a full pass.', async () => {
  await using world = await startWorld({ endpoints: etcd.endpoints, records: models(5) });
  await world.tick();
  assert.equal((await world.tick()).report.written, 0);
  await world.control({ action: 'reset', what: 'watermark' });
  assert.equal((await world.tick()).report.written, 5);
});

test('A record dated in the future is written, and its correction is not taken for an older version.', async () => {
  await using world = await startWorld({
    endpoints: etcd.endpoints,
    records: [at('wrong', '2099-01-01T00:00:00.000Z')],
  });
  await world.tick();
  world.source.records[0] = at('right', new Date().toISOString());
  await world.tick();
  assert.equal(nameAt(world), 'right');
});

test('A version that was written, read once more and refused is written again, and is off the list of failed records then.', async () => {
  const records = [at('same', JANUARY), at('same', JANUARY)];
  await using world = await startWorld({ endpoints: etcd.endpoints, records });
  let writes = 0;
  world.target.refuse = () => (++writes === 2 ? 403 : undefined);
  const { report } = await world.tick();
  assert.deepEqual([report.written, report.failed], [1, 1]);
  await world.tick();
  assert.deepEqual((await world.control({ action: 'status' })).failed, []);
});

test('What a backfill has written over with an older version, from a source that lags, the next tick writes again.', async () => {
  const newer = at('newer', '2026-02-01T00:00:30.000Z');
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [newer] });
  await world.tick();
  world.source.records[0] = at('older', '2026-02-01T00:00:10.000Z');
  await world.backfill({ ids: [newer.id] });
  assert.equal(nameAt(world), 'older');
  world.source.records[0] = newer;
  await world.tick();
  assert.equal(nameAt(world), 'newer');
});

test('More recent versions than can be kept are written again, and the log says so once.', async () => {
  const records = models(MAX_RECENT + 1).map((record) => ({ ...record, updatedAt: FEBRUARY }));
  await using world = await startWorld({ endpoints: etcd.endpoints, records });
  // A busy machine takes minutes for so many writes.
  await world.tick({}, 600_000);
  assert.equal((await world.tick({}, 600_000)).report.written, MAX_RECENT + 1);
  assert.equal(world.lines.filter(({ message }) => /the next ticks write them again/.test(message)).length, 1);
});

test('Recent versions are unpacked as they were packed; what was not packed by us is none.', () => {
  const versions = new Map([
    ['0123456789abcdef', { updatedAtMs: Date.parse(FEBRUARY), content: 'fedcba9876543210' }],
    ['ffffffffffffffff', { updatedAtMs: Date.parse('0000-01-01T00:00:00Z'), content: '0000000000000000' }],
  ]);
  assert.deepEqual(unpackRecent(packRecent(versions)), { versions, newestMs: Date.parse(FEBRUARY) });
  for (const packed of [undefined, '', 'AAAA', 'no base64 at all!'])
    assert.equal(unpackRecent(packed).versions.size, 0);
});

test('A pushed record with a bigint is known by its content, and ends no run.', async () => {
  const fields = v.object({ id: v.string(), name: v.string(), updatedAt: v.string() });
  const record = v.pipe(
    v.object({ ...fields.entries, size: v.number() }),
    v.transform((one) => ({ ...one, size: BigInt(one.size) })),
  );
  const writes: TargetJob<{ id: string; size: bigint }> = {
    async push({ id, size }, { send }) {
      await send({ method: 'PUT', path: `/v1/regions/eu/models/${id}`, body: { size: Number(size) } });
    },
  };
  const sized = (size: number) => ({ ...at('one', JANUARY), size });
  const options = { endpoints: etcd.endpoints, records: [sized(1)], job: { record }, writes } as never;
  await using world = await startWorld(options);
  for (const [size, written] of [
    [1, 1],
    [1, 0],
    [2, 1],
  ] as const) {
    world.source.records = [sized(size)];
    const { status, report } = await world.tick();
    assert.deepEqual([status, report.written], ['completed', written]);
  }
});
