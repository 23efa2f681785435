import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

/** A source that ignores `since` and `until`. */
async function open(records: unknown[]) {
  const pages = { given: records };
  const world = await startWorld({
    endpoints: etcd.endpoints,
    records,
    async *list() {
      yield { records: pages.given.slice(0, 5), cursor: 'b' };
      yield { records: pages.given.slice(5), cursor: null };
    },
  });
  return { world, pages };
}

const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();
const warnings = (lines: { message: string }[]) => lines.filter(({ message }) => /outside of the window/.test(message));

test('Records outside of the window that was asked for are left out and counted, with one warning.', async () => {
  const { world } = await open(Array.from({ length: 10 }, (_, index) => model(index)));
  await using _world = world;
  const dry = await world.backfill({ since: '2030-01-01T00:00:00Z', dryRun: true });
  assert.partialDeepStrictEqual(dry.report, { read: 0, written: 0, outside: 10 });
  const { report, pass } = await world.backfill({ since: at(3), until: at(6) });
  for (const counts of [report, pass!]) assert.partialDeepStrictEqual(counts, { read: 3, written: 3, outside: 7 });
  assert.deepEqual([...world.target.models.keys()].sort(), ['model-00003', 'model-00004', 'model-00005']);
  assert.equal(warnings(world.lines).length, 2);
});

test('A tick of a source that ignores the window writes only what has changed.', async () => {
  const { world, pages } = await open(Array.from({ length: 10 }, (_, index) => model(index)));
  await using _world = world;
  const first = await world.tick();
  assert.partialDeepStrictEqual(first.report, { read: 10, written: 10 });
  assert.equal(first.report.outside, undefined);
  pages.given = [...pages.given.slice(0, 9), { ...model(9, 30), name: 'changed' }];
  const { report } = await world.tick();
  // The overlap is a minute: the record before the newest one is in it.
  assert.deepEqual([report.read, report.written, report.outside], [2, 1, 8]);
  assert.equal(report.read, report.written + report.unchanged);
});

test('Records that are asked for by id have no window.', async () => {
  const { world } = await open([model(1)]);
  await using _world = world;
  await world.tick();
  assert.partialDeepStrictEqual((await world.backfill({ ids: ['model-00001'] })).report, { read: 1, written: 1 });
});
