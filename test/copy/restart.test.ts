import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { SourceError } from '../../lib/errors.ts';
import type { List } from '../../lib/job-types.ts';
import { until } from '../support/pipeline.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const byTime = Array.from({ length: 4000 }, (_, index) => model(index));

/** Lists records, 100 a page, with cursors that are valid for one run only, and stops each run after `pages` pages. */
async function shortLived(options: { records: ReturnType<typeof model>[]; pages: number }) {
  const { records: all } = options;
  let { pages } = options;
  const ticks: { since: string | undefined }[] = [];
  let stop = new AbortController();
  const list: List = async function* ({ since, cursor }) {
    if (cursor !== null) throw new SourceError('this cursor has expired', { cursorRefused: true });
    ticks.push({ since });
    const wanted = all.filter(({ updatedAt }) => !since || updatedAt >= since);
    for (let start = 0, page = 0; start < wanted.length; start += 100) {
      if (page++ === pages) {
        // What was given is settled before the run is stopped.
        await until(() => world.target.inFlight === 0);
        stop.abort();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      const last = start + 100 >= wanted.length;
      yield { records: wanted.slice(start, start + 100), cursor: last ? null : `${start}` };
    }
  };
  const world = await startWorld({
    endpoints: etcd.endpoints,
    records: [],
    list,
    env: { DEADLINE_RESERVE_SECONDS: '20' },
  });
  return {
    world,
    ticks,
    async tick(run: { pages: number } = options) {
      pages = run.pages;
      stop = new AbortController();
      return await world.tick({}, 60_000, stop.signal).catch((error: Error) => error);
    },
  };
}

test('A pass whose cursors never outlive a tick goes on by time where the list is ordered, and ends.', async () => {
  const { world, ticks, tick } = await shortLived({ records: byTime, pages: 18 });
  await using _ = world;
  const outcomes: string[] = [];
  for (let count = 0; count < 5 && outcomes.at(-1) !== 'completed'; count++) {
    const outcome = await tick();
    outcomes.push(outcome instanceof Error ? outcome.name : outcome.status);
  }
  assert.deepEqual(outcomes, ['partial', 'partial', 'completed']);
  assert.equal(world.target.models.size, 4000);
  const sinces = ticks.map(({ since }) => since ?? '');
  assert.deepEqual(sinces, sinces.toSorted());
  assert.deepEqual(
    world.emf.map(({ Success }) => Success),
    [1, 1, 1],
  );
});

test('Records of one moment are no sign that a list is ordered: those behind them are older here, and none is lost.', async () => {
  const first = Array.from({ length: 1800 }, (_, index) => model(index, 4000));
  const rest = Array.from({ length: 200 }, (_, index) => model(1800 + index, 200 - index));
  const { world, tick } = await shortLived({ records: [...first, ...rest], pages: 18 });
  await using _ = world;
  assert.equal(Object(await tick()).status, 'partial');
  const stuck = await tick();
  assert.match(String(stuck), /^NoProgressError: .* no further than the pass had been/);
  assert.equal(Object(await tick({ pages: 20 })).status, 'completed');
  assert.equal(world.target.models.size, 2000);
});

test('A few records that are in order by chance are no sign of it: the older ones behind them are not lost.', async () => {
  const first = Array.from({ length: 100 }, (_, index) => model(index, index < 50 ? 4000 : 5000));
  const older = Array.from({ length: 20 }, (_, index) => model(100 + index, index));
  const { world, tick } = await shortLived({ records: [...first, ...older], pages: 1 });
  await using _ = world;
  assert.equal(Object(await tick()).status, 'partial');
  assert.equal(Object(await tick({ pages: 2 })).status, 'completed');
  assert.equal(world.target.models.size, 120);
});

test('A pass that cannot end, because each tick begins again at the beginning, is no success and says why.', async () => {
  const { world, tick } = await shortLived({ records: byTime.toReversed(), pages: 18 });
  await using _ = world;
  const outcomes: string[] = [];
  for (let count = 0; count < 3; count++) {
    const outcome = await tick();
    outcomes.push(outcome instanceof Error ? `${outcome.name}: ${outcome.message}` : outcome.status);
  }
  assert.equal(outcomes[0], 'partial');
  for (const outcome of outcomes.slice(1))
    assert.match(outcome, /^NoProgressError: .* no further than the pass had been/);
  assert.deepEqual(
    world.emf.map(({ Success }) => Success),
    [1, 0, 0],
  );
});
