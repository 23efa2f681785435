import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { before, mock, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { answer } from '../../infra/local/serve.ts';
import { Interrupted } from '../../lib/errors.ts';
import type { TargetJob } from '../../lib/job-types.ts';
import { type Arrived, manyAtOnce, remove, serveBulkTarget } from '../support/bulk-target.ts';
import { pagesOf, pipeline, record, records, servePages, until } from '../support/pipeline.ts';

type Named = ReturnType<typeof record>;

// The engine with jobs that write many records at once. Pauses before another attempt are drawn; here they are none.
before(() => mock.method(Math, 'random', () => 0));

const deadline = () => new Interrupted('deadline', 'the reserve is reached');

/** These pages on their way to a target that takes `max` records at once. */
async function open(
  pages: Named[][],
  max: number,
  options: Partial<Parameters<typeof pipeline>[0]> & {
    before?: (arrived: Arrived, response: ServerResponse) => Promise<void> | void;
    maxBytes?: number;
    page?: (page: number) => Promise<void> | void;
  } = {},
) {
  await using stack = new AsyncDisposableStack();
  const source = stack.use(await servePages(pages, options.page));
  const target = stack.use(await serveBulkTarget());
  target.before = options.before;
  const writeMany = manyAtOnce({ max, maxBytes: options.maxBytes });
  const writes = { writeMany, remove } as unknown as TargetJob<Named>;
  const path = stack.use(await pipeline({ source, target, writes, ...options }));
  const owned = stack.move();
  return {
    ...{ path, target, source },
    /** The number of records of each request. */
    sizes: () => target.arrivals.map(({ ids }) => ids.length),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

test('Batches are as large as they may be, and go at the end of a page; each record is written once.', async () => {
  await using at = await open(pagesOf(records(230), 50), 20);
  assert.equal(await at.path.run(), 'complete');
  assert.deepEqual(at.path.counts(), { read: 230, written: 230, invalid: 0, failed: 0, unsettled: 0 });
  assert.deepEqual(at.sizes().sort(), [...Array(5).fill(10), ...Array(9).fill(20)]);
  assert.equal(at.target.models.size, 230);
  assert.deepEqual(
    at.path.settled.map(({ cursor, written }) => [cursor, written]),
    [
      ['1', 50],
      ['2', 50],
      ['3', 50],
      ['4', 50],
      [undefined, 30],
    ],
  );
});

test('A batch takes one lane, with its halves and what is sent again: no more requests are in flight than allowed, and as many.', async () => {
  const again = new Set<string>();
  await using at = await open(pagesOf(records(400), 100), 10, {
    concurrency: 3,
    async before({ ids }, response) {
      if (at.target.peakInFlight < 3) await until(() => at.target.peakInFlight >= 3);
      if (ids.length > 6 && ids[0]?.endsWith('0')) answer(response, 413, {});
    },
  });
  at.target.outcomeOf = ({ id }) => {
    const isFirst = !again.has(id);
    again.add(id);
    return isFirst && Number(id.slice(6)) % 7 === 0 ? 'retry' : undefined;
  };
  assert.equal(await at.path.run(), 'complete');
  assert.equal(at.path.report.written, 400);
  assert.deepEqual([at.target.peakInFlight, at.path.report.peakInFlight], [3, 3]);
});

test('A batch goes when its page ends, even if the next page does not come.', async () => {
  const gate = Promise.withResolvers<void>();
  await using at = await open(pagesOf(records(6), 3), 100, { page: (page) => (page === 1 ? gate.promise : undefined) });
  const running = at.path.run();
  await until(() => at.path.settled.length === 1);
  assert.deepEqual(at.sizes(), [3]);
  gate.resolve();
  assert.equal(await running, 'complete');
  assert.deepEqual(at.sizes(), [3, 3]);
});

test('A schema that takes its time does not hold up a batch, and otherwise batches wait for more records.', async () => {
  const gate = Promise.withResolvers<void>();
  const schema = {
    '~standard': {
      ...{ version: 1 as const, vendor: 'test' },
      async validate(value: unknown) {
        if (Number((value as Named).id.slice(6)) >= 25) await gate.promise;
        return { value: value as Named };
      },
    },
  };
  await using at = await open([records(60)], 100, { schema });
  const running = at.path.run();
  await until(() => at.target.models.size === 25);
  gate.resolve();
  assert.equal(await running, 'complete');
  assert.deepEqual(at.sizes(), [25, 35]);
});

test('Records of one id go one after the other over batches, tombstones and failures, so the last one wins.', async () => {
  const fates = ['fine', 'fine', 'fine', 'gone', 'bad'] as const;
  const drawn = fc.array(fc.tuple(fc.constantFrom(...'abcd'), fc.constantFrom(...fates)), {
    minLength: 1,
    maxLength: 60,
  });
  const bounds = fc.record({ max: fc.integer({ min: 1, max: 8 }), concurrency: fc.integer({ min: 1, max: 6 }) });
  await fc.assert(
    fc.asyncProperty(drawn, bounds, fc.integer({ min: 3, max: 20 }), async (list, { max, concurrency }, size) => {
      const versions = list.map(([id, fate], index) => record(id, `${fate} ${index}`));
      const inFlight = new Set<string>();
      const order = new Map<string, number>();
      await using at = await open(pagesOf(versions, size), max, {
        concurrency,
        deleted: ({ name }) => name.startsWith('gone'),
        async before({ ids, models }, response) {
          for (const id of ids) {
            assert.ok(!inFlight.has(id), `${id} is written twice at the same time`);
            inFlight.add(id);
          }
          await sleep(ids.length % 3);
          for (const id of ids) inFlight.delete(id);
          for (const { id, name } of models as Named[]) {
            const version = Number(name.split(' ')[1]);
            if (version < (order.get(id) ?? -1)) answer(response, 418, {});
            order.set(id, version);
          }
          if ((models as Named[]).some(({ name }) => name.startsWith('bad'))) answer(response, 422, {});
        },
      });
      assert.equal(await at.path.run(), 'complete');
      const last = new Map<string, unknown>();
      for (const { id, ...body } of versions) {
        if (body.name.startsWith('fine')) last.set(id, body);
        if (body.name.startsWith('gone')) last.delete(id);
      }
      assert.deepEqual(new Map([...at.target.models].sort()), new Map([...last].sort()));
      const { read, written, removed, failed } = at.path.report;
      assert.deepEqual([read, failed], [list.length, list.filter(([, fate]) => fate === 'bad').length]);
      assert.equal(read, written + removed + failed);
      assert.ok(!at.path.problems.some(({ reason }) => reason.includes('418')), 'a record overtook a later one');
    }),
    { numRuns: 25 },
  );
});

test('A deadline lets the request in flight finish and starts no more, be it a batch, a half or another attempt.', async () => {
  for (const status of [200, 413, 207]) {
    await using at = await open(pagesOf(records(100), 50), 20, {
      concurrency: 1,
      before(_, response) {
        if (at.target.arrivals.length < 2) return;
        at.path.closing.abort(deadline());
        if (status === 413) answer(response, 413, {});
      },
    });
    at.target.outcomeOf = ({ id }) => (status === 207 && id === 'model-33' ? 'retry' : undefined);
    assert.equal(await at.path.run(), 'deadline');
    assert.deepEqual(at.sizes(), [20, 20]);
    const written = { 200: 40, 207: 39, 413: 20 }[status]!;
    const { read } = at.path.report;
    assert.deepEqual(at.path.counts(), { read, written, invalid: 0, failed: 0, unsettled: read - written });
    assert.deepEqual(at.path.settled, []);
  }
});

test('Bad records fail with their reason, all others are written, within two requests for each halving.', async () => {
  const bad = new Set(['model-0', 'model-64', 'model-199']);
  await using at = await open([records(200)], 100, {
    before({ ids }, response) {
      if (ids.some((id) => bad.has(id))) answer(response, 422, { message: 'no such region' });
    },
  });
  assert.equal(await at.path.run(), 'complete');
  assert.deepEqual(at.path.counts(), { read: 200, written: 197, invalid: 0, failed: 3, unsettled: 0 });
  assert.deepEqual(new Set(at.path.failed), bad);
  assert.deepEqual(
    [...new Set(at.path.problems.map(({ reason }) => reason))],
    ['the target answered 422: {"message":"no such region"}'],
  );
  assert.ok(at.target.arrivals.length <= 2 + 3 * 2 * 7, String(at.target.arrivals.length));
});

test('A record that breaks the target, in whatever batch it is, fails alone.', async () => {
  await using at = await open([records(64)], 64, {
    failuresBeforeStop: 10,
    before({ ids }, response) {
      if (ids.includes('model-40')) answer(response, 500, {});
    },
  });
  assert.equal(await at.path.run(), 'complete');
  assert.deepEqual([at.path.report.written, at.path.failed], [63, ['model-40']]);
});

test('What the target never takes in five attempts fails alone, and what it takes later is written.', async () => {
  const asked = new Map<string, number>();
  await using at = await open([records(50)], 50);
  at.target.outcomeOf = ({ id }) => {
    asked.set(id, (asked.get(id) ?? 0) + 1);
    if (id === 'model-7') return 'retry';
    return id === 'model-9' && asked.get(id)! < 3 ? 'retry' : undefined;
  };
  assert.equal(await at.path.run(), 'complete');
  assert.deepEqual(at.path.counts(), { read: 50, written: 49, invalid: 0, failed: 1, unsettled: 0 });
  assert.deepEqual([at.path.failed, at.sizes()], [['model-7'], [50, 2, 2, 1, 1]]);
});

test('A target that is down ends the run after as many requests as records may fail in a row, and nothing has failed.', async () => {
  for (const [concurrency, failuresBeforeStop] of [
    [1, 4],
    [5, 10],
  ] as const) {
    await using at = await open(pagesOf(records(2000), 500), 100, {
      ...{ concurrency, failuresBeforeStop },
      before: (_, response) => answer(response, 500, {}),
    });
    await assert.rejects(at.path.run(), { name: 'TargetDownError' });
    const { read } = at.path.report;
    assert.deepEqual(at.path.counts(), { read, written: 0, invalid: 0, failed: 0, unsettled: read });
    // Each has five attempts; the other lanes have one request each under way by then.
    const requests = at.target.arrivals.length / 5;
    assert.ok(requests <= failuresBeforeStop + concurrency - 1, `${requests} requests`);
  }
});

for (const [status, singles] of [
  [403, 0],
  [404, 0],
  [413, 20],
  [422, 20],
] as const) {
  test(`A target that answers ${status} to everybody ends the run soon, and nothing has failed.`, async () => {
    await using at = await open(pagesOf(records(2000), 500), 500, {
      ...{ concurrency: 1, failuresBeforeStop: 20 },
      before: (_, response) => answer(response, status, {}),
    });
    await assert.rejects(at.path.run(), { name: 'TargetRefusedError' });
    const { read } = at.path.report;
    assert.deepEqual(at.path.counts(), { read, written: 0, invalid: 0, failed: 0, unsettled: read });
    const most = singles === 0 ? 1 : Math.ceil(Math.log2(500)) + 2 * singles;
    assert.ok(at.target.arrivals.length <= most, `${at.target.arrivals.length} requests`);
  });
}

test('A target whose results cannot be understood ends the run soon as well.', async () => {
  await using at = await open([records(500)], 500, {
    ...{ concurrency: 1, failuresBeforeStop: 20 },
    before: (_, response) => answer(response, 200, { private: 'words' }),
  });
  await assert.rejects(at.path.run(), { name: 'TargetRefusedError', message: /results of the job gave no outcomes/ });
  assert.ok(at.target.arrivals.length <= 9 + 40, `${at.target.arrivals.length} requests`);
  assert.equal(at.path.report.failed, 0);
});
