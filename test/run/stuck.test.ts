import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as v from 'valibot';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { model, startWorld, withoutReasons } from '../support/world.ts';

// Whatever a run encounters, later runs do their work, and an operator can read the status.

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const models = (count: number) => Array.from({ length: count }, (_, index) => model(index));
const open = (options: Partial<Parameters<typeof startWorld>[0]> = {}) =>
  startWorld({ endpoints: etcd.endpoints, records: models(10), ...options });

/** A job whose schema accepts everything. */
const anything = { record: v.any() as v.GenericSchema<unknown, ReturnType<typeof model>> };

test('A clock that is set back while a run works changes nothing.', async (t) => {
  await using world = await open({ latencyMs: 20 });
  const now = Date.now;
  const running = world.tick();
  await world.target.nextRequest();
  t.mock.method(Date, 'now', () => now() - 60_000);
  assert.equal((await running).report.durationMs, 0);
  assert.equal((await world.tick()).status, 'completed');
  assert.equal((await world.control({ action: 'status' })).lastRun?.status, 'completed');
});

for (const updatedAt of ['9999-12-31T23:59:59-05:00', '0000-01-01T00:00:00Z', '+020000-01-01T00:00:00Z', 'at noon']) {
  test(`A record that was changed ${updatedAt} leaves a state that can be read, when it is written and when it fails.`, async () => {
    const records = [...models(3), { ...model(3), updatedAt }];
    await using world = await open({
      job: { ...anything, source: { one: undefined } },
      async *list() {
        yield { records, cursor: null };
      },
    });
    world.target.refuse = (body) => (Object(body).updatedAt === updatedAt ? 422 : undefined);
    const first = await world.tick();
    assert.partialDeepStrictEqual(first, { status: 'completed', report: { written: 3, failed: 1 } });
    world.target.refuse = undefined;
    // The list is read again as a whole; what has no time that can be believed is written each time.
    for (let ticks = 0; ticks < 2; ticks++) {
      const { status, report } = await world.tick();
      assert.partialDeepStrictEqual({ status, report }, { status: 'completed', report: { failed: 0 } });
      // This list ignores the window, so what is older than that is left out.
      assert.equal(report.written + report.unchanged + (report.outside ?? 0), 4);
    }
    assert.equal(world.target.models.size, 4);
    await world.control({ action: 'reset', what: 'watermark' });
  });
}

for (const status of [500, 429]) {
  test(`A failed record whose own address answers ${status} is given up in the end, and the list is read meanwhile.`, async () => {
    await using world = await open();
    world.target.refuse = (body) => (Object(body).name === 'refused' ? 422 : undefined);
    for (const index of [3, 4]) world.source.records[index] = { ...model(index), name: 'refused' };
    await world.tick();
    world.target.refuse = undefined;
    world.source.refuse = (path) => (path.endsWith('00003') ? status : undefined);
    world.source.records.push({ ...model(11), updatedAt: new Date().toISOString() });
    assert.equal((await world.tick()).status, 'completed');
    assert.ok(world.target.models.has('model-00011'));
    assert.deepEqual(withoutReasons(await world.control({ action: 'status' })), [{ id: 'model-00003', attempts: 2 }]);

    // A source that is down, or throttles until the run ends, is no verdict on a record.
    world.source.refuse = () => status;
    if (status === 429) {
      const { reason } = await world.tick({}, 6000);
      assert.equal(reason, 'throttled');
      assert.equal(world.emf.at(-1)?.Success, 0);
    } else await assert.rejects(world.tick(), { name: 'SourceError' });
    assert.deepEqual(withoutReasons(await world.control({ action: 'status' })), [{ id: 'model-00003', attempts: 2 }]);
  });
}

test('A failed record for which the job makes no path, or reads another record, is given up in the end.', async () => {
  const paths: Record<string, string> = { 'model-00003': '\ud800', 'model-00004': 'model-00005' };
  const one = (id: string) => `/v1/models/${encodeURIComponent(paths[id] ?? id)}`;
  await using world = await open({ job: { source: { one } } });
  for (const index of [3, 4]) world.source.records[index] = { ...model(index), name: 'refused' };
  world.target.refuse = (body) => (Object(body).name === 'refused' ? 422 : undefined);
  for (let ticks = 0; ticks < 6; ticks++) assert.equal((await world.tick()).status, 'completed');
  assert.deepEqual(withoutReasons(await world.control({ action: 'status' })), [
    { id: 'model-00003', attempts: 5 },
    { id: 'model-00004', attempts: 5 },
  ]);
});

for (const thrown of ['a string', { code: 7 }, null, undefined]) {
  test(`A job that throws ${JSON.stringify(thrown)} has failed with an error that says so, and the next tick runs.`, async () => {
    let good = false;
    await using world = await open({
      async *list() {
        if (!good) throw thrown;
        yield { records: models(1), cursor: null };
      },
    });
    await assert.rejects(world.tick(), { message: `the job threw ${String(thrown)}` });
    const { lastRun } = await world.control({ action: 'status' });
    assert.deepEqual(lastRun?.error, { name: 'Error', code: 'UNKNOWN', message: `the job threw ${String(thrown)}` });
    good = true;
    assert.equal((await world.tick()).status, 'completed');
  });
}
