import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { answer, bodyOf, serve } from '../../infra/local/serve.ts';
import type { Listing, Page } from '../../lib/job-types.ts';
import type { Holder } from '../../lib/lock/holder.ts';
import type { Result } from '../../lib/run/result.ts';
import { leftBehind, NOTHING } from '../support/lock.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const RUNS = Number(process.env.OVERLAP_RUNS ?? 5);
const SEED = Number(process.env.OVERLAP_SEED ?? 20_261_129);

const DUE_MS = Date.parse('2026-01-24T12:00:00Z');
const due = (index: number) => new Date(DUE_MS + index * 1000).toISOString();

/** Who wants the lock, and when; times in ms after the beginning, or after what came before. */
const contention = fc.record({
  overlap: fc.constantFrom('skip', 'follow'),
  tickGapsMs: fc.array(fc.integer({ min: 0, max: 600 }), { minLength: 1, maxLength: 6 }),
  /** How many pages of the source a tick reads. */
  tickPages: fc.integer({ min: 1, max: 4 }),
  backfills: fc.array(
    fc.record({
      atMs: fc.integer({ min: 0, max: 800 }),
      pages: fc.integer({ min: 2, max: 8 }),
      /** Whether it gives way, or keeps the lock and only waits for its turn. */
      yields: fc.boolean(),
      waitSeconds: fc.constantFrom(20, 60),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  pageMs: fc.integer({ min: 10, max: 120 }),
});
type Contention = typeof contention extends fc.Arbitrary<infer T> ? T : never;

/** A run that took the lock, or a tick that found it held. */
interface Outcome {
  result: Result;
  scheduledTime?: string | undefined;
}

/** Plays until all ticks and backfills have ended, and all ticks that were sent again. */
async function play({ overlap, tickGapsMs, tickPages, backfills, pageMs }: Contention) {
  const ticks: Outcome[] = [];
  const underWay = new Set<Promise<unknown>>();
  const track = (work: Promise<unknown>) => {
    const tracked = work.finally(() => underWay.delete(tracked));
    // An error is thrown where it is waited for.
    tracked.catch(() => undefined);
    underWay.add(tracked);
    return tracked;
  };
  await using lambda = await serve(async (request, response) => {
    const event = JSON.parse(await bodyOf(request));
    assert.match(request.url ?? '', /-sync\/invocations$/);
    track(sleep(20).then(() => tick(event)));
    answer(response, 202, {});
  });
  process.env.AWS_ENDPOINT_URL_LAMBDA = lambda.url;
  async function* list({ cursor, since, until }: Listing): AsyncGenerator<Page> {
    // A backfill says by its window how many pages there are.
    const pages = since === undefined ? tickPages : Date.parse(until!) - Date.parse(since);
    for (let page = Number(cursor ?? 0); page < pages; page++) {
      await sleep(pageMs);
      const records = [0, 1].map((index) => ({ ...model(page * 2 + index), updatedAt: since ?? due(0) }));
      yield { records, cursor: page === pages - 1 ? null : String(page + 1) };
    }
  }
  const env = { OVERLAP: overlap, SKIPS_BEFORE_WARNING: '99' };
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [], list, env });

  async function tick(event: { scheduledTime?: string }) {
    ticks.push({ result: await world.tick(event), scheduledTime: event.scheduledTime });
  }

  async function backfill({ atMs, pages, yields, waitSeconds }: Contention['backfills'][number]) {
    await sleep(atMs);
    const since = '2026-01-01T00:00:00.000Z';
    const event = { since, until: new Date(Date.parse(since) + pages).toISOString(), waitSeconds };
    const results: Result[] = [];
    for (let last: Result | undefined; last?.status !== 'completed'; results.push(last)) {
      world.env.YIELD = yields ? 'page' : 'never';
      last = await world.backfill({ ...event, ...(last && { backfillId: last.backfillId }) });
      assert.ok(last.status === 'completed' || last.reason === 'yielded', `a backfill ended: ${last.reason}`);
      // Each run gets on by a page at least.
      assert.ok(results.length < pages);
    }
    assert.equal(results.at(-1)!.pass?.read, pages * 2);
    return results;
  }

  async function timer() {
    for (const [index, gapMs] of tickGapsMs.entries()) {
      await sleep(gapMs);
      track(tick({ scheduledTime: due(index) }));
    }
  }

  const [copied] = await Promise.all([Promise.all(backfills.map(backfill)), timer()]);
  while (underWay.size > 0) await Promise.all(underWay);
  const left = await leftBehind(etcd, world.env.LOCK_KEY!);
  return { ticks, copied, left };
}

test('Whoever contends for the lock gets it, and every tick that found it held runs soon, or a later one does.', {
  timeout: 3_600_000,
}, async () => {
  const property = fc.asyncProperty(contention, async (drawn) => {
    const { ticks, copied, left } = await play(drawn);
    assert.deepEqual(left, NOTHING);
    const runs = copied.flat();
    const keepers = new Set(copied.filter((_, index) => !drawn.backfills[index]!.yields).flatMap(idsOf));
    /** Whether nobody sends a tick again that found this holder in its way. */
    const isFinal = ({ kind, runId = '' }: Holder) => (kind === 'tick' ? drawn.overlap === 'skip' : keepers.has(runId));
    for (const { result, scheduledTime: time = '' } of ticks) {
      if (result.status === 'completed') continue;
      assert.ok(result.reason === 'locked' || result.reason === 'duplicate', `a tick is ${result.reason}`);
      const { heldBy } = result;
      if (!heldBy || isFinal(heldBy)) continue;
      const since = ticks.filter(({ scheduledTime = '' }) => scheduledTime >= time);
      const done = since.filter((one) => one.result.status === 'completed');
      const settled = done.length > 0 || since.some((one) => one.result.heldBy && isFinal(one.result.heldBy));
      assert.ok(settled, `the tick of ${time} is lost`);
      // Who queued before the tick came goes first, and each other one lets it go first.
      const next = Math.min(...ticks.map((one) => tokenOf(one.result)).filter((token) => token > holderOf(heldBy)));
      const first = runs.map(tokenOf).filter((token) => token > holderOf(heldBy) && token < next);
      if (done.length > 0 && keepers.size === 0)
        assert.ok(first.length <= copied.length + 1, `${first} go before ${next}`);
    }
  });
  await fc.assert(property, { numRuns: RUNS, seed: SEED, endOnFailure: true });
});

const idsOf = (results: Result[]) => results.map(({ runId }) => runId);
const tokenOf = ({ fencingToken }: Result) => Number(fencingToken ?? Number.NaN);
const holderOf = ({ createRevision }: Holder) => Number(createRevision);
