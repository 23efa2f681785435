import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { answer, serve } from '../../infra/local/serve.ts';
import { cursorPages, offsetPages } from '../../lib/job.ts';
import type { TargetJob } from '../../lib/job-types.ts';
import type { Report } from '../../lib/report.ts';
import { job as shipped } from '../support/job.ts';
import { model, startWorld } from '../support/world.ts';

// A full pass of a job that can list its target: it writes what differs, and removes what has vanished.

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

type Model = ReturnType<typeof model>;

const models = (count: number) => Array.from({ length: count }, (_, index) => model(index));
const bodyOf = ({ id: _, ...body }: Model) => body;

/** How the shipped job writes, and lists and removes what is at the target. */
const writes: TargetJob<Model> = {
  ...(shipped.target as TargetJob<Model>),
  remove: (id) => ({ method: 'DELETE', path: `/v1/regions/eu/models/${encodeURIComponent(id)}` }),
  list: cursorPages({
    path: '/v1/regions/eu/models',
    query: () => ({ limit: 100 }),
    records: 'models',
    next: 'nextCursor',
  }),
  existing(raw) {
    const { id, ...body } = raw as Model;
    return { id, body };
  },
};

/** As the shipped job checks it, as far as these tests need it. */
const modelSchema = v.object({
  ...{ id: v.string(), name: v.string(), updatedAt: v.string() },
  limit: v.object({ context: v.number(), output: v.number() }),
});

/** Without times each pass is a full one. */
const untimed = { updatedAt: undefined } as unknown as { updatedAt: (record: Model) => string };

const open = (options: Partial<Parameters<typeof startWorld>[0]> = {}) =>
  startWorld({ endpoints: etcd.endpoints, records: models(250), writes, job: untimed, ...options });

const counts = ({ read, written, unchanged, removed, failed }: Report) => ({
  ...{ read, written, unchanged, removed, failed },
});

/** What the target has, as the source would give it. */
const stored = ({ target }: { target: { models: Map<string, unknown> } }) =>
  [...target.models].map(([id, body]) => ({ id, ...(body as object) })).sort((a, b) => (a.id < b.id ? -1 : 1));

test('What is at the target is not written again, what was changed there by hand is, and what has vanished is removed.', async () => {
  await using world = await open();
  assert.deepEqual(counts((await world.tick()).report), {
    read: 250,
    written: 250,
    unchanged: 0,
    removed: 0,
    failed: 0,
  });
  const idle = await world.tick();
  assert.deepEqual(counts(idle.report), { read: 250, written: 0, unchanged: 250, removed: 0, failed: 0 });
  assert.deepEqual(counts(idle.pass!), counts(idle.report));
  world.target.models.set(model(7).id, { ...bodyOf(model(7)), name: 'by hand' });
  world.target.models.delete(model(8).id);
  const [vanished] = world.source.records.splice(3, 1) as Model[];
  const writesBefore = world.target.writes.length;
  const mended = await world.tick();
  assert.deepEqual(counts(mended.report), { read: 249, written: 2, unchanged: 247, removed: 1, failed: 0 });
  assert.deepEqual(
    world.target.writes.slice(writesBefore).map(({ id }) => id),
    [model(7).id, model(8).id],
  );
  assert.deepEqual(
    world.target.removals.map(({ id, token }) => [id, token]),
    [[vanished?.id, mended.fencingToken]],
  );
  assert.deepEqual(stored(world), world.source.records);
});

test('A tick that reads what has changed does not read the target, and removes nothing.', async () => {
  await using world = await open({ job: {} });
  await world.tick();
  const reads = world.target.reads.length;
  assert.ok(reads > 0);
  world.source.records.splice(3, 1);
  const later = await world.tick();
  assert.deepEqual([world.target.reads.length, later.report.removed, later.report.written], [reads, 0, 0]);
  const everything = await world.backfill({});
  assert.deepEqual(counts(everything.report), { read: 249, written: 0, unchanged: 249, removed: 1, failed: 0 });
});

for (const [what, spoil] of [
  ['is empty', () => []],
  ['has lost a page', (records: Model[]) => records.slice(0, 200)],
  ['is that of somebody else', () => Array.from({ length: 250 }, (_, index) => model(index + 1000))],
] as const) {
  test(`Where the list of the source ${what}, nothing is removed until as many removals are approved.`, async () => {
    await using world = await open({ job: { ...untimed, source: { one: undefined } } });
    await world.tick();
    const whole = world.source.records;
    world.source.records = spoil(whole as Model[]);
    const ids = new Set((world.source.records as Model[]).map(({ id }) => id));
    const vanished = (whole as Model[]).filter(({ id }) => !ids.has(id)).length;
    const held = await world.tick();
    assert.deepEqual([held.status, held.removalsWithheld, held.report.removed], ['completed', vanished, 0]);
    assert.equal(world.target.models.size, 250 + (held.report.written ?? 0));
    assert.equal((await world.control({ action: 'status' })).removalsWithheld, vanished);
    assert.equal(world.emf.at(-1)?.RemovalsWithheld, vanished);
    assert.ok(world.lines.some(({ message }) => /have vanished from the source: they are not removed/.test(message)));
    await world.control({ action: 'approve-removals', upTo: vanished - 1 });
    assert.equal((await world.tick()).removalsWithheld, vanished);
    await world.control({ action: 'approve-removals', upTo: vanished });
    const removed = await world.tick();
    assert.deepEqual([removed.removalsWithheld, removed.report.removed], [undefined, vanished]);
    assert.equal(world.emf.at(-1)?.RemovalsWithheld, undefined);
    assert.deepEqual(stored(world), world.source.records);
    assert.equal((await world.control({ action: 'status' })).removalsWithheld, undefined);
    // It held for one pass.
    world.source.records = [];
    const again = await world.tick();
    assert.equal(again.removalsWithheld ?? 0, ids.size > 10 ? ids.size : 0);
  });
}

test('A source that answers an empty list does not empty a target of few records in shards.', async () => {
  await using world = await open({
    records: models(24),
    job: { ...untimed, source: { one: undefined } },
    env: { SHARDS: '3' },
  });
  const shards = [0, 1, 2].map((index) => ({ index, of: 3 }));
  for (const shard of shards) await world.tick({ kind: 'tick', shard });
  world.source.records = [];
  const withheld: number[] = [];
  for (const shard of shards) withheld.push((await world.tick({ kind: 'tick', shard })).removalsWithheld ?? 0);
  assert.equal(
    withheld.reduce((sum, one) => sum + one, 0),
    24,
  );
  assert.equal(world.target.models.size, 24);
});

test('A source that answers an empty list does not empty a target of three records; one that has lost two of them has them removed.', async () => {
  await using world = await open({ records: models(3), job: { ...untimed, source: { one: undefined } } });
  await world.tick();
  world.source.records = [];
  for (let pass = 0; pass < 2; pass++) assert.equal((await world.tick()).removalsWithheld, 3);
  assert.equal(world.target.models.size, 3);
  world.source.records = models(1);
  for (let pass = 0; pass < 2; pass++) assert.equal((await world.tick()).removalsWithheld, undefined);
  assert.equal(world.target.models.size, 1);
});

test('All that is approved is removed, from a target that is listed by offset as well, whose records move up meanwhile.', async () => {
  let atTarget = models(250);
  let reads = 0;
  await using server = await serve((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://target');
    if (request.method === 'DELETE') atTarget = atTarget.filter(({ id }) => !pathname.endsWith(id));
    else reads++;
    const offset = Number(searchParams.get('offset'));
    answer(response, 200, { models: atTarget.slice(offset, offset + 50) });
  });
  const list = offsetPages({ path: '/v1/regions/eu/models', records: 'models', size: 50 });
  await using world = await open({ records: models(50), writes: { ...writes, list }, env: { TARGET_URL: server.url } });
  assert.equal((await world.tick()).removalsWithheld, 200);
  await world.control({ action: 'approve-removals', upTo: 200 });
  const { report } = await world.tick();
  assert.deepEqual([report.unchanged, report.removed], [50, 200]);
  assert.deepEqual(atTarget, models(50));
  // Where all is found at once, the list is read no third time.
  atTarget.push(...models(52).slice(50));
  reads = 0;
  assert.equal((await world.tick()).report.removed, 2);
  assert.equal(reads, 2 * 2);
});

test('An approval makes the next tick a full one, of a job that reads what has changed.', async () => {
  await using world = await open({ job: { source: { one: undefined } } });
  await world.tick();
  world.source.records = models(100);
  assert.equal((await world.backfill({})).removalsWithheld, 150);
  assert.equal((await world.tick()).report.removed, 0);
  await world.control({ action: 'approve-removals', upTo: 150 });
  assert.deepEqual(counts((await world.tick()).report), {
    read: 100,
    written: 0,
    unchanged: 100,
    removed: 150,
    failed: 0,
  });
});

for (const [what, env, spoil] of [
  ['reads from INITIAL_SINCE on', { INITIAL_SINCE: '2025-01-01T00:00:00.000Z' }, () => undefined],
  ['finds a record of unknown id', {}, ({ source }) => source.records.push({ updatedAt: model(0).updatedAt })],
  ['cannot list the target', {}, ({ target }) => Object.assign(target, { refuseRead: () => 403 })],
] as [string, Record<string, string>, (world: Awaited<ReturnType<typeof open>>) => void][]) {
  test(`An approval is used up by a pass that ${what}, so that the next tick reads what has changed again.`, async () => {
    await using world = await open({ job: { source: { one: undefined } }, env });
    await world.tick();
    world.source.records = models(100);
    assert.equal((await world.backfill({})).removalsWithheld, 150);
    await world.control({ action: 'approve-removals', upTo: 150 });
    spoil(world);
    const approved = await world.tick();
    assert.deepEqual([approved.status, approved.report.removed], ['completed', 0]);
    assert.ok(approved.report.read >= 100);
    const { removals } = await world.control({ action: 'status' });
    assert.deepEqual([removals?.withheld, removals?.approvedUpTo], [150, undefined]);
    assert.ok((await world.tick()).report.read < 100);
  });
}

test('An approval holds until the records that it is for have been missing twice in a row.', async () => {
  await using world = await open({ job: { ...untimed, source: { one: undefined } } });
  await world.tick();
  world.source.records = models(100);
  assert.equal((await world.tick()).removalsWithheld, 150);
  // A pass that does not know all begins the row again.
  world.source.records = [...models(100), { updatedAt: model(0).updatedAt }];
  await world.tick();
  world.source.records = models(100);
  await world.control({ action: 'approve-removals', upTo: 150 });
  const removalsOf = async () => (await world.control({ action: 'status' })).removals;
  assert.deepEqual([(await world.tick()).report.removed, (await removalsOf())?.approvedUpTo], [0, 150]);
  assert.deepEqual([(await world.tick()).report.removed, await removalsOf()], [150, undefined]);
  assert.deepEqual(stored(world), models(100));
});

test('What the source has and its list has left out is not removed.', async () => {
  await using world = await open({ records: models(20) });
  await world.tick();
  const list: NonNullable<TargetJob<Model>['list']> = async function* () {
    yield { records: models(15), cursor: null };
  };
  await using partial = await open({ records: models(20), list });
  for (const [id, body] of world.target.models) partial.target.models.set(id, body);
  const tick = await partial.tick();
  assert.deepEqual([tick.report.removed, partial.target.models.size], [0, 20]);
  assert.ok(partial.lines.some(({ message }) => /5 records were not in the list of the source/.test(message)));
});

test('What a list has left out by chance stays, also where the source cannot be asked for it: it has to be missing twice in a row.', async () => {
  await using world = await open({ records: models(20), job: { ...untimed, source: { one: undefined } } });
  await world.tick();
  const whole = world.source.records as Model[];
  const [gone, leftOut] = [whole[3]!, whole[7]!];
  const without = (...some: Model[]) => whole.filter((record) => !some.includes(record));
  const removed = async (records: unknown[], run = () => world.tick()) => {
    world.source.records = records;
    return (await run()).report.removed;
  };
  assert.equal(await removed(without(gone, leftOut)), 0);
  assert.ok(world.lines.some(({ message }) => /2 records have vanished: they are removed if the next/.test(message)));
  // Who looks, and a pass that does not know all, change nothing or begin again.
  assert.equal(await removed(without(gone), () => world.backfill({ dryRun: true })), 1);
  assert.equal(await removed([...without(gone), { updatedAt: whole[0]!.updatedAt }]), 0);
  assert.equal(await removed(without(gone)), 0);
  assert.equal(await removed(without(gone, leftOut), () => world.backfill({})), 1);
  assert.deepEqual(stored(world), without(gone));
  // It was there once more in between.
  assert.equal(await removed(without(gone)), 0);
  assert.equal(await removed(without(gone, leftOut)), 0);
  assert.equal(await removed(without(gone, leftOut)), 1);
  assert.deepEqual(stored(world), without(gone, leftOut));
});

test('Where the source does not say whether it has a record, it is not removed, which is told, also of a dry run.', async () => {
  await using world = await open({ records: models(20), job: { ...untimed, source: { one: () => '/v1/models/%' } } });
  await world.tick();
  const [gone] = world.source.records.splice(2, 1) as Model[];
  for (const result of [await world.backfill({ dryRun: true }), await world.tick()]) {
    assert.equal(result.report.removed, 0);
    assert.deepEqual(
      result.problems?.map(({ id, kind }) => [id, kind]),
      [[gone?.id, 'failed']],
    );
  }
});

test('A pass that is interrupted while it removes begins again as a new one, which counts and has keys of its own.', async () => {
  await using world = await open({ records: models(30), env: { CONCURRENCY: '1' } });
  await world.tick();
  const change = (name: string) => Object.assign(world.source.records[0] as Model, { name });
  world.source.records.splice(20, 3);
  for (const name of ['B', 'C']) {
    change(name);
    const stop = new AbortController();
    world.target.refuseRemoval = () => void stop.abort();
    assert.deepEqual((await world.tick({}, 60_000, stop.signal)).reason, 'deadline');
  }
  world.target.refuseRemoval = undefined;
  change('B');
  const ended = await world.tick();
  assert.equal(ended.status, 'completed');
  assert.deepEqual(counts(ended.pass!), { read: 27, written: 1, unchanged: 26, removed: 1, failed: 0 });
  const keys = world.target.writes.flatMap(({ id, idempotencyKey }) => (id === model(0).id ? [idempotencyKey] : []));
  assert.equal(new Set(keys).size, 4);
});

for (const end of ['a deadline', 'an error'])
  test(`An approval is for so many removals, also of a pass that ${end} interrupts while it removes.`, async () => {
    await using world = await open({ records: models(300), env: { CONCURRENCY: '1', FAILURES_BEFORE_STOP: '1' } });
    await world.tick();
    world.source.records = models(200);
    assert.equal((await world.tick()).removalsWithheld, 100);
    await world.control({ action: 'approve-removals', upTo: 100 });
    const stop = new AbortController();
    world.target.refuseRemoval = () => {
      if (world.target.removals.length < 75) return undefined;
      if (end === 'a deadline') stop.abort();
      return 500;
    };
    const interrupted = world.tick({}, 60_000, stop.signal);
    if (end === 'a deadline') assert.equal((await interrupted).status, 'partial');
    else await assert.rejects(interrupted, { name: 'TargetDownError' });
    world.target.refuseRemoval = undefined;
    const { removals } = await world.control({ action: 'status' });
    assert.deepEqual([removals?.withheld, removals?.approvedUpTo], [25, 25]);
    world.source.records = models(160);
    const more = await world.tick();
    assert.deepEqual([more.removalsWithheld, more.report.removed, world.target.models.size], [65, 0, 225]);
    await world.control({ action: 'approve-removals', upTo: 65 });
    assert.equal((await world.tick()).report.removed, 65);
  });

test('An invalid record is not removed; where nobody knows its id, nothing is.', async () => {
  await using world = await open({ records: models(20) });
  await world.tick();
  const [first, , third] = world.source.records as Model[];
  world.source.records[0] = { ...first, name: 5 };
  world.source.records.splice(2, 1);
  const tick = await world.tick();
  assert.deepEqual([tick.report.invalid, tick.report.removed], [1, 1]);
  assert.ok(world.target.models.has(first!.id) && !world.target.models.has(third!.id));
  world.source.records[0] = { name: 'nobody' };
  world.source.records.splice(2, 1);
  assert.deepEqual([(await world.tick()).report.removed, world.target.models.size], [0, 19]);
});

test('Where deleted is asynchronous, nothing is removed: a promise says neither yes nor no.', async () => {
  const deleted = (async () => false) as unknown as () => boolean;
  await using world = await open({ records: models(5), job: { ...untimed, deleted } });
  for (const { id, ...body } of models(5)) world.target.models.set(id, body);
  const { report, problems } = await world.tick();
  assert.deepEqual([report.invalid, report.removed, world.target.models.size], [5, 0, 5]);
  assert.equal(problems?.[0]?.reason, 'the job threw TypeError');
});

for (const [what, nobody] of [
  ['nobody knows the id of an invalid record', { name: 'nobody' }],
  ['the id of a record is empty', { ...model(0), id: '' }],
] as const)
  test(`Where ${what}, no shard removes anything.`, async () => {
    const job = { ...untimed, record: modelSchema, source: { one: undefined } };
    await using world = await open({ records: models(30), job, env: { SHARDS: '3' } });
    const shards = [0, 1, 2].map((index) => ({ index, of: 3 }));
    for (const shard of shards) await world.tick({ kind: 'tick', shard });
    for (let index = 0; index < 6; index++) world.source.records[index] = nobody;
    // What is missing is removed when it is missing twice in a row.
    for (const shard of [...shards, ...shards])
      assert.equal((await world.tick({ kind: 'tick', shard })).report.removed, 0);
    assert.equal(world.target.models.size, 30);
  });

test('An invalid record whose schema makes another id of it is not removed.', async () => {
  const record = v.object({ ...modelSchema.entries, id: v.pipe(v.string(), v.toLowerCase()) });
  const records = models(20).map((one) => ({ ...one, id: one.id.toUpperCase() }));
  await using world = await open({ records, job: { ...untimed, record, source: { one: undefined } } });
  await world.tick();
  world.source.records[0] = { ...records[0], name: 5 };
  const { report } = await world.tick();
  assert.deepEqual([report.invalid, report.unchanged, report.removed], [1, 19, 0]);
  assert.equal(world.target.models.size, 20);
});

test('A target that cannot be listed is written as without that, which is said, and nothing is removed.', async () => {
  await using world = await open({ records: models(20) });
  await world.tick();
  world.source.records.splice(2, 1);
  world.target.refuseRead = () => 403;
  const tick = await world.tick();
  assert.deepEqual(counts(tick.report), { read: 19, written: 19, unchanged: 0, removed: 0, failed: 0 });
  assert.ok(world.lines.some(({ message }) => /the target could not be listed/.test(message)));
});

test('A removal that the target refuses is told, and the pass is completed.', async () => {
  await using world = await open({ records: models(20) });
  await world.tick();
  const [gone] = world.source.records.splice(2, 1) as Model[];
  world.target.refuseRemoval = () => 409;
  const tick = await world.tick();
  assert.deepEqual([tick.status, tick.report.removed, tick.report.failed], ['completed', 0, 0]);
  assert.deepEqual(
    tick.problems?.map(({ id, kind }) => [id, kind]),
    [[gone?.id, 'failed']],
  );
  world.target.refuseRemoval = undefined;
  assert.equal((await world.tick()).report.removed, 1);
});

test('Each shard compares and removes its own records.', async () => {
  await using world = await open({ env: { SHARDS: '3' } });
  const tick = (index: number) => world.tick({ kind: 'tick', shard: { index, of: 3 } });
  for (const index of [0, 1, 2]) await tick(index);
  assert.equal(world.target.models.size, 250);
  world.source.records.splice(10, 5);
  const reports: Report[] = [];
  for (const index of [0, 1, 2]) reports.push((await tick(index)).report);
  const sum = (name: 'written' | 'unchanged' | 'removed') => reports.reduce((all, report) => all + report[name], 0);
  assert.deepEqual([sum('written'), sum('unchanged'), sum('removed')], [0, 245, 5]);
  assert.deepEqual(stored(world), world.source.records);
});

test('Shards do not remove together what one run would not remove.', async () => {
  await using world = await open({
    records: models(24),
    env: { SHARDS: '3' },
    job: { ...untimed, source: { one: undefined } },
  });
  const tick = (index: number) => world.tick({ kind: 'tick', shard: { index, of: 3 } });
  for (const index of [0, 1, 2]) await tick(index);
  world.source.records = [];
  let withheld = 0;
  for (const index of [0, 1, 2]) withheld += (await tick(index)).removalsWithheld ?? 0;
  assert.deepEqual([withheld, world.target.models.size], [24, 24]);
});

test('Where the source divides its records in its own way, what is at the target is found all the same, and nothing is removed.', async () => {
  const records = models(24);
  const list: NonNullable<TargetJob<Model>['list']> = async function* ({ shard }) {
    yield { records: records.filter((_, index) => index % 3 === shard?.index), cursor: null };
  };
  const job = { ...untimed, source: { one: undefined, sharded: true } };
  await using world = await open({ records, list, job, env: { SHARDS: '3' } });
  const tick = (index: number) => world.tick({ kind: 'tick', shard: { index, of: 3 } });
  for (const index of [0, 1, 2]) await tick(index);
  for (const index of [0, 1, 2]) {
    const { report, removalsWithheld } = await tick(index);
    assert.deepEqual(counts(report), { read: 8, written: 0, unchanged: 8, removed: 0, failed: 0 });
    assert.equal(removalsWithheld, undefined);
  }
  assert.deepEqual(stored(world), records);
  const rehearsed = await world.backfill({ dryRun: true, shard: { index: 0, of: 3 } });
  assert.deepEqual([rehearsed.differences, rehearsed.vanishedUnknown], [[], true]);
});

test('A tombstone is removed in the order of the list, and is not counted as vanished.', async () => {
  const deleted = (record: Model) => record.limit.context === 999;
  const tombstone = (index: number) => ({ ...model(index), limit: { context: 999, output: 0 } });
  await using world = await open({ records: models(10), job: { ...untimed, deleted } });
  await world.tick();
  world.source.records = [...models(10), tombstone(3), tombstone(4), model(4), tombstone(77)];
  const tick = await world.tick();
  assert.deepEqual(counts(tick.report), { read: 14, written: 1, unchanged: 11, removed: 2, failed: 0 });
  assert.deepEqual([world.target.models.has(model(3).id), world.target.models.has(model(4).id)], [false, true]);
});

for (const status of [404, 410, 403])
  test(`A tombstone whose removal failed is removed later, although the source answers ${status} to its id.`, async () => {
    const { list: _, existing, ...byTime } = writes;
    const gone = model(3).id;
    const job = {
      deleted: (record: Model) => record.limit.context === 999,
      source: { one: () => `/v1/models/gone?status=${status}` },
    };
    await using world = await open({ records: models(5), writes: byTime, job });
    world.source.refuse = (path) => Number(/status=(\d+)/.exec(path)?.[1]) || undefined;
    await world.tick();
    world.source.records.push({ ...model(3, 60), limit: { context: 999, output: 0 } }, model(9, 500));
    world.target.refuseRemoval = () => 409;
    assert.deepEqual(counts((await world.tick()).report), { read: 4, written: 1, unchanged: 2, removed: 0, failed: 1 });
    world.target.refuseRemoval = undefined;
    // By its id; then by its list as well.
    await world.tick();
    assert.ok(world.target.models.has(gone));
    assert.equal((await world.tick()).report.removed, 1);
    assert.ok(!world.target.models.has(gone));
    assert.deepEqual((await world.control({ action: 'status' })).failed, []);
    await world.tick();
    // It is given up after five runs, like every record.
    world.source.records.push({ ...model(4, 600), limit: { context: 999, output: 0 } }, model(10, 900));
    world.target.refuseRemoval = () => 409;
    for (let run = 1; run <= 7; run++) await world.tick();
    const [failed, ...others] = (await world.control({ action: 'status' })).failed;
    assert.deepEqual([failed?.id, failed?.attempts, others], [model(4).id, 5, []]);
    assert.deepEqual(counts((await world.tick()).report), { read: 1, written: 0, unchanged: 1, removed: 0, failed: 0 });
  });

test('A record that was not at the target, and is a tombstone later in the list, is not there afterwards.', async () => {
  const deleted = (record: Model) => record.limit.context === 999;
  const tombstone = (index: number) => ({ ...model(index), limit: { context: 999, output: 0 } });
  await using world = await open({ records: models(3), job: { ...untimed, deleted } });
  await world.tick();
  world.source.records = [...models(5), tombstone(3), tombstone(4), model(4), tombstone(4), tombstone(77)];
  const tick = await world.tick();
  assert.deepEqual(counts(tick.report), { read: 10, written: 3, unchanged: 4, removed: 3, failed: 0 });
  assert.deepEqual(stored(world), models(3));
});

test('Where the target can be listed before the pass and not after it, the pass is completed, and nothing is removed.', async () => {
  await using world = await open({ records: models(150) });
  await world.tick();
  const [gone] = world.source.records.splice(2, 1) as Model[];
  let pages = 2;
  world.target.refuseRead = () => (pages-- > 0 ? undefined : 403);
  const tick = await world.tick();
  assert.deepEqual([tick.status, tick.report.unchanged, tick.report.removed], ['completed', 149, 0]);
  assert.ok(world.lines.some(({ message }) => /could not be listed once more: not all/.test(message)));
  world.target.refuseRead = undefined;
  assert.equal((await world.tick()).report.removed, 1);
  assert.ok(!world.target.models.has(gone!.id));
});

test('Where the target refuses every removal, the pass is completed, which is said, and the next one tries again.', async () => {
  await using world = await open({ records: models(400) });
  await world.tick();
  const gone = world.source.records.splice(2, 30) as Model[];
  world.target.refuseRemoval = () => 403;
  const tick = await world.tick();
  assert.deepEqual([tick.status, tick.report.unchanged, tick.report.removed], ['completed', 370, 0]);
  assert.ok(world.lines.some(({ message }) => /the target refuses removals: not all/.test(message)));
  world.target.refuseRemoval = undefined;
  assert.equal((await world.tick()).report.removed, gone.length);
});

test('A dry run names what has vanished, also where the job cannot remove it.', async () => {
  const { remove: _, ...withoutRemove } = writes;
  await using world = await open({ records: models(20), writes: withoutRemove });
  await world.tick();
  world.source.records.splice(2, 1);
  const { report, differences } = await world.backfill({ dryRun: true });
  assert.deepEqual(counts(report), { read: 19, written: 0, unchanged: 19, removed: 0, failed: 0 });
  assert.deepEqual(differences, [{ id: model(2).id, kind: 'vanished' }]);
});

for (const [way, target] of [
  ['one each', writes],
  [
    'many at once',
    {
      ...writes,
      write: undefined,
      writeMany: { max: 10, request: (body: Model[]) => ({ method: 'POST', path: '/bulk', body }) },
    },
  ],
] as const) {
  test(`A dry run of a window names nothing that changed outside of it, of records that are written ${way}.`, async () => {
    const records = models(30).map((record, index) => ({
      ...record,
      updatedAt: index < 25 ? '2026-01-01T00:00:00.000Z' : '2026-01-03T00:00:00.000Z',
    }));
    const list: NonNullable<TargetJob<Model>['list']> = async function* () {
      yield { records, cursor: null };
    };
    await using world = await open({ records, list, writes: target as TargetJob<Model>, job: {} });
    const { report, differences, vanishedUnknown } = await world.backfill({
      ...{ dryRun: true, since: '2026-01-02T00:00:00.000Z' },
    });
    assert.equal(report.written, 5);
    const names = differences?.map(({ id, kind }) => `${kind} ${id}`);
    assert.deepEqual(
      names?.sort(),
      records.slice(25).map(({ id }) => `new ${id}`),
    );
    assert.equal(vanishedUnknown, true);
  });
}

test('A dry run of everything counts what differs, names it, and neither writes nor removes.', async () => {
  await using world = await open({ records: models(50) });
  await world.tick();
  world.target.models.set(model(7).id, { ...bodyOf(model(7)), name: 'by hand', limit: { context: 1, output: 7 } });
  world.target.models.delete(model(8).id);
  for (let index = 0; index < 20; index++) world.source.records.pop();
  const before = new Map(world.target.models);
  const dry = await world.backfill({ dryRun: true });
  assert.deepEqual(counts(dry.report), { read: 30, written: 2, unchanged: 28, removed: 20, failed: 0 });
  const said = world.lines.map(({ message }) => message).filter((message) => message.includes('vanished'));
  assert.deepEqual(said, ['20 of 20 vanished records would be removed']);
  assert.equal(dry.differences?.length, 22);
  assert.deepEqual(dry.differences?.slice(0, 3), [
    { id: model(7).id, kind: 'changed', fields: [{ name: 'name' }, { name: 'limit.context' }] },
    { id: model(8).id, kind: 'new' },
    { id: model(30).id, kind: 'vanished' },
  ]);
  const { differences } = await world.backfill({ dryRun: true, values: true });
  assert.deepEqual(differences?.[0]?.fields, [
    { name: 'name', source: 'Model 7', target: 'by hand' },
    { name: 'limit.context', source: 7, target: 1 },
  ]);
  assert.deepEqual(world.target.models, before);
  const agreed = await open({ records: models(5) });
  await agreed.tick();
  assert.deepEqual((await agreed.backfill({ dryRun: true })).differences, []);
  await agreed[Symbol.asyncDispose]();
});

test('A list of the target that never ends, or throttles for long, leaves half of the time to write.', async () => {
  const endless: NonNullable<TargetJob<Model>['list']> = async function* () {
    for (let page = 1; ; page++) {
      await sleep(10);
      yield { records: [], cursor: `${page}` };
    }
  };
  await using slow = await open({ records: models(20), writes: { ...writes, list: endless } });
  assert.deepEqual(counts((await slow.tick({}, 5000)).report), {
    ...{ read: 20, written: 20, unchanged: 0, removed: 0, failed: 0 },
  });
  assert.ok(slow.lines.some(({ message }) => /the target could not be listed/.test(message)));
  await using throttled = await open({ records: models(20) });
  throttled.target.refuseRead = () => 429;
  throttled.target.retryAfterSeconds = 3600;
  const tick = await throttled.tick();
  assert.deepEqual([tick.status, tick.report.written, tick.notBefore], ['completed', 20, undefined]);
});

test('A source that answers nothing about single records is not asked about all that has vanished.', async () => {
  await using world = await open({ records: models(3000) });
  await world.tick();
  world.source.records.splice(0, 250);
  world.source.refuse = (path) => (/models\/./.test(path) ? 403 : undefined);
  const tick = await world.tick();
  assert.deepEqual([tick.status, tick.report.removed, world.target.models.size], ['completed', 0, 3000]);
  assert.ok(world.source.requests.filter((path) => /models\/./.test(path)).length <= 120);
});
