import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, before, mock, test } from 'node:test';
import fc from 'fast-check';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { answer } from '../../infra/local/serve.ts';
import type { TargetJob } from '../../lib/job-types.ts';
import type { Report } from '../../lib/report.ts';
import type { Result } from '../../lib/run/result.ts';
import {
  type Arrived,
  type BulkTarget,
  listing,
  manyAtOnce,
  oneAtATime,
  pushed,
  remove,
  serveBulkTarget,
} from '../support/bulk-target.ts';
import { mulberry32 } from '../support/random.ts';
import { model, startWorld } from '../support/world.ts';

// Whole runs of jobs that write many records at once, compare and remove, through faults of every kind: once these are over and
// ticks have passed, the target equals the source. BULK_SEED and BULK_RUNS draw others, or more.

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
  // Pauses before another attempt are drawn; here they are none.
  mock.method(Math, 'random', () => 0);
});
after(() => etcd[Symbol.asyncDispose]());

type Model = ReturnType<typeof model>;

const MOODS = ['well', 'flaky', 'down', 'stopped', 'small', 'unlisted', 'unlisted later'] as const;

const kinds = fc.record({
  way: fc.constantFrom('writeMany', 'writeMany', 'writeMany', 'write', 'push'),
  listed: fc.constantFrom(true, true, false),
  /** Records have times, so that ticks read what has changed. */
  timed: fc.boolean(),
  /** The source gives single records; otherwise ids come again in its list. */
  one: fc.boolean(),
  /** A bad record is refused with all of its request, instead of by its outcome. */
  whole: fc.boolean(),
  max: fc.integer({ min: 1, max: 30 }),
  maxBytes: fc.option(fc.integer({ min: 400, max: 4000 }), { nil: undefined }),
  concurrency: fc.integer({ min: 1, max: 6 }),
  pageSize: fc.integer({ min: 5, max: 30 }),
  records: fc.integer({ min: 1, max: 60 }),
  bad: fc.integer({ min: 0, max: 5 }),
});
type Kind = typeof kinds extends fc.Arbitrary<infer T> ? T : never;

/** What happens before a tick, and to it. */
const steps = fc.record({
  mood: fc.constantFrom(...MOODS),
  changes: fc.nat(8),
  vanish: fc.oneof({ weight: 4, arbitrary: fc.nat(6) }, { weight: 1, arbitrary: fc.integer({ min: 11, max: 60 }) }),
  comeBack: fc.nat(60),
  /** The list leaves out records that the source has, each at most once: what is missing twice in a row is taken for gone. */
  leftOut: fc.nat(3),
  byHand: fc.nat(4),
});
type Step = typeof steps extends fc.Arbitrary<infer T> ? T : never;

const isDeleted = ({ limit }: Model) => limit.context === 999;
const isBad = ({ name }: Pick<Model, 'name'>) => name.startsWith('bad');
const isInvalid = ({ name }: Model) => name === '';

function jobOf({ way, listed, timed, one, max, maxBytes }: Kind) {
  const ways = {
    write: { write: oneAtATime },
    push: { push: pushed },
    writeMany: { writeMany: manyAtOnce({ max, maxBytes }) },
  };
  const writes = { ...ways[way as keyof typeof ways], remove, ...(listed && listing(way !== 'write')) };
  const job = {
    deleted: isDeleted,
    ...(!timed && { updatedAt: undefined as never }),
    ...(!one && { source: { one: undefined } }),
  };
  return { writes: writes as unknown as TargetJob<Model>, job };
}

/** A source whose list changes between ticks: by the last one of its id, a record is what it should be at the target. */
function drawnSource({ one, bad, records: count }: Kind, below: (bound: number) => number) {
  let version = 0;
  const vanished: Model[] = [];
  const list: Model[] = [];
  const draw = (id: string): Model => {
    const fate = below(20);
    const name = fate === 0 ? '' : `fine ${++version}${'x'.repeat(below(4) === 0 ? below(100) : 0)}`;
    const context = fate < 3 && fate > 0 ? 999 : 1;
    return { id, name, updatedAt: new Date().toISOString(), limit: { context, output: version } };
  };
  const put = (record: Model) => {
    const index = list.findIndex(({ id }) => id === record.id);
    if (index < 0 || (!one && below(3) === 0)) list.push(record);
    else list.splice(index, list.length, ...list.slice(index + 1).filter(({ id }) => one || id !== record.id), record);
  };
  for (let index = 0; index < count; index++) put(draw(model(index).id));
  const spoil = () => {
    for (const record of list) if (isBad(record)) record.name = record.name.replace('bad', 'fine');
    for (let spoilt = 0; spoilt < bad && list.length > 0; spoilt++) {
      const { id } = list[below(list.length)]!;
      const record = list.findLast((record) => record.id === id)!;
      if (!isInvalid(record)) Object.assign(record, { name: `bad ${++version}`, updatedAt: new Date().toISOString() });
    }
  };
  spoil();
  return {
    list,
    change({ changes, vanish, comeBack }: Step) {
      for (const record of vanished.splice(0, comeBack)) put({ ...record, updatedAt: new Date().toISOString() });
      for (let gone = 0; gone < vanish && list.length > 0; gone++) {
        const { id } = list[below(list.length)]!;
        const all = list.filter((record) => record.id === id);
        list.splice(0, list.length, ...list.filter((record) => record.id !== id));
        vanished.push(all.at(-1)!);
      }
      for (let changed = 0; changed < changes; changed++) put(draw(model(below(count + 10)).id));
      spoil();
    },
    /** What the target should hold, of the records that it takes. */
    wanted() {
      const last = new Map(list.map((record) => [record.id, record]));
      return new Map([...last].filter(([, record]) => !isDeleted(record) && !isBad(record) && !isInvalid(record)));
    },
  };
}

/** Lets the target behave like this for a tick. @param stop asks the run to end */
function behave(
  target: BulkTarget,
  kind: Kind,
  mood: Step['mood'],
  below: (bound: number) => number,
  stop: () => void,
) {
  const most = 1 + below(5);
  let untilStop = mood === 'stopped' ? below(12) : -1;
  let reads = mood === 'unlisted' ? 0 : below(20);
  const flaky = mood === 'flaky';
  const hasBad = ({ models }: Arrived) => (models as Model[]).some(isBad);
  target.before = (arrived, response: ServerResponse) => {
    if (untilStop-- === 0) stop();
    if (mood === 'down') return answer(response, 500, {});
    if (flaky && below(3) === 0) {
      const fault = below(10);
      if (fault > 5) return void response.destroy();
      // Throttling is rare, because the pace slows down for a while.
      return answer(response, fault > 0 ? 500 : 429, {}, { 'retry-after': '0' });
    }
    if (mood === 'small' && arrived.models.length > most) return answer(response, 413, {});
    if ((kind.whole || kind.way !== 'writeMany') && hasBad(arrived)) return answer(response, 422, {});
  };
  target.outcomeOf = (one) => {
    if (isBad(one as Model)) return { refused: 'it is bad' };
    return flaky && below(8) === 0 ? 'retry' : undefined;
  };
  target.cutsAnswer = () => flaky && below(6) === 0;
  target.refuseRead = mood.startsWith('unlisted') ? () => (reads-- > 0 ? undefined : 403) : undefined;
}

/** The only errors that a tick may throw while the target is down or the run is stopped. */
const EXPECTED = ['TargetDownError', 'NoProgressError'];

function checkCounts({ read, written, unchanged, removed, invalid, failed, unsettled }: Report, kind: Kind) {
  const settled = written + unchanged + invalid + failed + unsettled;
  if (!kind.listed) return assert.equal(read, settled + removed);
  // What has vanished is removed, and was not read.
  assert.ok(read >= settled && read <= settled + removed, `${read} read, ${settled} settled, ${removed} removed`);
}

async function play(kind: Kind, happens: Step[], seed: number) {
  const random = mulberry32(seed);
  const below = (bound: number) => Math.floor(random() * bound);
  await using target = await serveBulkTarget();
  const source = drawnSource(kind, below);
  const { listed, timed, concurrency, pageSize } = kind;
  await using world = await startWorld({
    ...{ endpoints: etcd.endpoints, records: source.list, pageSize, ...jobOf(kind) },
    env: {
      ...{ TARGET_URL: target.url, CONCURRENCY: `${concurrency}` },
      ...{ FAILURES_BEFORE_STOP: '15', WATERMARK_OVERLAP_SECONDS: '1' },
    },
  });

  /** Runs a tick or a backfill, and holds what it did to target and counts against the source. */
  async function invoke(run: () => Promise<Result>, approved = 0): Promise<Result | undefined> {
    const inList = new Set(source.list.map(({ id }) => id));
    const tombstones = new Set(source.list.filter(isDeleted).map(({ id }) => id));
    // An empty list never empties a target.
    const isEmpty = world.source.records.length === 0;
    const vanished = [...target.models.keys()].filter((id) => isEmpty || !inList.has(id)).length;
    const isTooMany = (isEmpty || vanished > 10) && vanished > target.models.size / 10 && vanished > approved;
    const [arrivals, removals] = [target.arrivals.length, target.removals.length];
    target.peakInFlight = 0;
    const outcome = await run().catch((error: Error) => error);
    for (const id of target.removals.slice(removals)) {
      assert.ok(tombstones.has(id) || !inList.has(id), `${id} was removed, which the source holds`);
      assert.ok(tombstones.has(id) || (listed && !isTooMany), `${id} was removed in spite of the guard`);
    }
    assert.ok(target.peakInFlight <= concurrency, `${target.peakInFlight} in flight`);
    for (const { models, bytes } of target.arrivals.slice(arrivals)) {
      assert.ok(models.length <= (kind.way === 'writeMany' ? kind.max : 1));
      if (kind.way === 'writeMany' && models.length > 0) assert.ok(bytes <= (kind.maxBytes ?? bytes));
    }
    assert.deepEqual(
      target.tokens,
      [...target.tokens].sort((a, b) => Number(a - b)),
    );
    if (outcome instanceof Error) {
      assert.ok(EXPECTED.includes(outcome.name), `${outcome.name}: ${outcome.message}`);
      return undefined;
    }
    checkCounts(outcome.report, kind);
    assert.equal(outcome.report.peakInFlight, Math.max(target.peakInFlight, outcome.report.peakInFlight));
    if (outcome.pass && outcome.status === 'completed') {
      checkCounts(outcome.pass, kind);
      assert.equal(outcome.pass.unsettled, 0);
    }
    if (outcome.removalsWithheld) assert.ok(isTooMany, `${outcome.removalsWithheld} removals are withheld`);
    for (const { id, kind: what, reason } of outcome.problems ?? []) {
      if (what === 'missing') {
        assert.ok(!inList.has(id), `${id}: ${reason}`);
        continue;
      }
      const known = source.list.some((record) => record.id === id && (what === 'invalid' ? isInvalid : isBad)(record));
      // A fault that has passed may have been in every attempt.
      assert.ok(known || /answered (200|207|429|500)|broke off|SOCKET|ECONN/.test(reason), `${id}: ${what}: ${reason}`);
    }
    return outcome;
  }

  const leftOut = new Set<string>();
  for (const step of happens) {
    source.change(step);
    world.source.records = source.list;
    // Whether it has such a record, the source would be asked.
    for (let left = 0; !kind.one && left < step.leftOut && source.list.length > 0; left++) {
      const { id } = source.list[below(source.list.length)]!;
      if (!leftOut.has(id)) world.source.records = world.source.records.filter((one) => (one as Model).id !== id);
      leftOut.add(id);
    }
    for (let changed = 0; changed < step.byHand && (listed || !timed); changed++) {
      const id = model(below(kind.records)).id;
      if (below(2) === 0) target.models.delete(id);
      else target.models.set(id, { name: 'by hand' });
    }
    const stop = new AbortController();
    behave(target, kind, step.mood, below, () => stop.abort());
    await invoke(() => world.tick({}, 60_000, stop.signal));
  }

  behave(target, kind, 'well', below, () => {});
  world.source.records = source.list;
  // The first ends a pass that a fault has left.
  let last = await invoke(() => world.tick());
  const everything = () => (timed ? world.backfill({}) : world.tick());
  last = await invoke(everything);
  if (last?.removalsWithheld) {
    await world.control({ action: 'approve-removals', upTo: last.removalsWithheld });
    const approved = last.removalsWithheld;
    last = await invoke(() => world.tick(), approved);
  } else if (listed && !kind.one) last = await invoke(everything);
  assert.equal(last?.status, 'completed');
  const bad = source.list.filter((record) => isBad(record) && !isDeleted(record));
  const invalid = source.list.filter(isInvalid);
  // Those that failed before are read by id first, and then in the list.
  const most = kind.one ? 2 : 1;
  for (const [count, expected] of [
    [last.report.failed, bad],
    [last.report.invalid, invalid],
  ] as const) {
    assert.ok(count >= expected.length && count <= most * expected.length, JSON.stringify(last.problems));
  }
  const named = (last.problems ?? []).filter(({ kind }) => kind === 'failed').map(({ id }) => id);
  assert.deepEqual(new Set(named), new Set(bad.map(({ id }) => id)));

  const wanted = source.wanted();
  for (const [id, { id: _, ...body }] of wanted) assert.deepEqual(target.models.get(id), body, `${id} at the target`);
  const unwritten = new Set(source.list.filter((record) => isBad(record) || isInvalid(record)).map(({ id }) => id));
  const inList = new Set(source.list.map(({ id }) => id));
  for (const id of target.models.keys()) {
    const isLeft = !inList.has(id) && !listed;
    assert.ok(wanted.has(id) || unwritten.has(id) || isLeft, `${id} is at the target, and not at the source`);
  }
  const ids = source.list.map(({ id }) => id);
  // An id that comes again with something else is written in each pass.
  if (!listed || unwritten.size > 0 || new Set(ids).size < ids.length) return;
  const idle = await invoke(everything);
  assert.deepEqual([idle?.report.written, idle?.report.removed, idle?.removalsWithheld], [0, 0, undefined]);
}

const seed = Number(process.env.BULK_SEED ?? 4);
const numRuns = Number(process.env.BULK_RUNS ?? 25);
test('Whatever happens to source, target and runs, the target ends up with what the source has, less the bad records.', async () => {
  const drawn = fc.array(steps, { minLength: 1, maxLength: 5 });
  const play1 = fc.asyncProperty(kinds, drawn, fc.nat(), (kind, happens, seed) => play(kind, happens, seed));
  await fc.assert(play1, { seed, numRuns, endOnFailure: process.env.BULK_SHRINK === undefined });
});
