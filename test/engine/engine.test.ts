import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { answer, bodyOf, serve } from '../../infra/local/serve.ts';
import { sync } from '../../lib/engine/engine.ts';
import { Interrupted } from '../../lib/errors.ts';
import type { Page } from '../../lib/job-types.ts';
import { newReport, type SettledPage } from '../../lib/report.ts';
import { job } from '../support/job.ts';
import {
  pagesOf,
  pipeline,
  record,
  records,
  secretStoreOf,
  servePages,
  serveTarget,
  until,
} from '../support/pipeline.ts';

const deadline = () => new Interrupted('deadline', 'the reserve is reached');
/** The cursor of each settled page; null for the last one of the list. */
const cursors = (settled: SettledPage[]) => settled.map(({ cursor, last }) => (last ? null : cursor));

test('Every record of every page is written once, and the pages settle in order.', async () => {
  await using source = await servePages(pagesOf(records(230), 50));
  await using target = await serveTarget();
  await using path = await pipeline({ source, target });
  assert.equal(await path.run(), 'complete');
  assert.deepEqual(path.counts(), { read: 230, written: 230, invalid: 0, failed: 0, unsettled: 0 });
  assert.deepEqual(
    [...target.stored.keys()].sort(),
    records(230)
      .map(({ id }) => id)
      .sort(),
  );
  assert.equal(target.arrivals.length, 230);
  assert.deepEqual(cursors(path.settled), ['1', '2', '3', '4', null]);
  assert.deepEqual(source.served, [0, 1, 2, 3, 4]);
});

test('An empty list, and empty pages within one, are complete.', async () => {
  await using target = await serveTarget();
  for (const pages of [[[]], [[], [], records(1), []]]) {
    await using source = await servePages(pages);
    await using path = await pipeline({ source, target });
    assert.equal(await path.run(), 'complete');
    assert.equal(path.settled.length, pages.length);
    assert.equal(path.report.pages, pages.length);
  }
});

test('There are never more writes in flight than allowed, and as many as that.', async () => {
  await using source = await servePages(pagesOf(records(200), 9));
  // The first writes wait for each other.
  await using target = await serveTarget(() => until(() => target.peakInFlight >= 7));
  await using path = await pipeline({ source, target, concurrency: 7 });
  await path.run();
  assert.equal(target.peakInFlight, 7);
  assert.equal(path.report.peakInFlight, 7);
});

test('A straggler keeps its page open, but not the records of the pages behind it.', async () => {
  const gate = Promise.withResolvers<void>();
  await using source = await servePages(pagesOf(records(60), 5));
  await using target = await serveTarget(({ id }) => (id === 'model-1' ? gate.promise : undefined));
  await using path = await pipeline({ source, target, concurrency: 2 });
  const running = path.run();
  await until(() => target.stored.size === 59);
  assert.deepEqual(path.settled, []);
  gate.resolve();
  assert.equal(await running, 'complete');
  assert.equal(path.settled.length, 12);
});

test('The next page is fetched while one is written, and at most two pages of records wait.', async () => {
  const [size, concurrency] = [10, 3];
  const arrivedBefore: number[] = [];
  await using target = await serveTarget(() => sleep(1));
  await using source = await servePages(pagesOf(records(100), size), (page) => {
    arrivedBefore[page] = target.arrivals.length;
  });
  await using path = await pipeline({ source, target, concurrency });
  await path.run();
  for (const [page, arrived] of arrivedBefore.entries()) {
    // All records before the last two pages have started, though not all of them have arrived yet.
    assert.ok(arrived >= (page - 1) * size - concurrency, `page ${page} was fetched after ${arrived} writes`);
    if (page > 0) assert.ok(arrived < page * size, `page ${page} was fetched after all before was written`);
  }
});

test('While no write makes progress, two pages are fetched and no more.', async () => {
  const gate = Promise.withResolvers<void>();
  await using source = await servePages(pagesOf(records(50), 10));
  await using target = await serveTarget(() => gate.promise);
  await using path = await pipeline({ source, target, concurrency: 4 });
  const running = path.run();
  await until(() => target.arrivals.length === 4 && source.served.length === 2);
  await sleep(100);
  assert.deepEqual(source.served, [0, 1]);
  assert.equal(target.arrivals.length, 4);
  gate.resolve();
  assert.equal(await running, 'complete');
});

test('A record that the target refuses has failed, and the others are written.', async () => {
  await using source = await servePages(pagesOf(records(30), 10));
  await using target = await serveTarget(({ id }, response) => {
    if (id === 'model-7') answer(response, 422, { message: 'private words' });
  });
  await using path = await pipeline({ source, target });
  assert.equal(await path.run(), 'complete');
  assert.deepEqual(path.counts(), { read: 30, written: 29, invalid: 0, failed: 1, unsettled: 0 });
  assert.deepEqual(path.problems, [
    { id: 'model-7', kind: 'failed', reason: 'the target answered 422: {"message":"private words"}' },
  ]);
  assert.deepEqual(path.failed, ['model-7']);
  assert.equal(path.settled[0]?.failed, 1);
  assert.equal(path.settled.length, 3);
});

test('Invalid records are counted and named, their content is not, and the others are written.', async () => {
  const secret = 'hunter2';
  const invalid = [
    { ...record('a'), name: { secret } },
    { ...record('b'), updatedAt: secret },
    { ...record('c'), limit: { context: secret, output: -1 } },
    { ...record('.'), name: secret },
    { name: secret },
    { ...record('d'), cost: [secret] },
    ...[null, secret, 17, [secret]],
  ];
  await using source = await servePages([[record('x'), ...invalid], [record('y')]]);
  await using target = await serveTarget();
  await using path = await pipeline({ source, target });
  assert.equal(await path.run(), 'complete');
  assert.deepEqual(path.counts(), { read: 12, written: 2, invalid: 10, failed: 0, unsettled: 0 });
  const names = ['a', 'b', 'c', '.', 'record 6 of page 1', 'd', ...[8, 9, 10, 11].map((n) => `record ${n} of page 1`)];
  assert.deepEqual(
    path.problems.map(({ id }) => id),
    names,
  );
  assert.ok(path.problems.every(({ kind, reason }) => kind === 'invalid' && reason));
  assert.match(path.problems[2]?.reason ?? '', /^limit\.context: .*; limit\.output: /);
  assert.ok(!JSON.stringify(path.problems).includes(secret));
  assert.equal(path.settled.length, 2);
});

test('A record of which the job makes no id is invalid: nothing is sent to the path of all records, be it a write or a removal.', async () => {
  const schema = v.custom<ReturnType<typeof record>>(() => true);
  const ids = [undefined, '', null, {}, ['model-1']];
  const odd = ids.map((id) => ({ ...record('model-1'), id }));
  await using source = await servePages([[...odd, ...records(2)]]);
  const asked: string[] = [];
  await using target = await serve(async (request, response) => {
    await bodyOf(request);
    asked.push(`${request.method} ${request.url}`);
    answer(response, 200, {});
  });
  for (const deleted of [() => false, () => true]) {
    asked.length = 0;
    await using path = await pipeline({
      ...{ source, target: target as never, schema, deleted },
      writes: { ...job.target, remove: (id: string) => ({ method: 'DELETE', path: `/models/${id}` }) } as never,
    });
    assert.equal(await path.run(), 'complete');
    assert.equal(asked.length, 2);
    assert.deepEqual(
      path.problems.map(({ id, kind, reason }) => [id, kind, reason]),
      ids.map((_, index) => [`record ${index + 1} of page 1`, 'invalid', 'the job gives it no id']),
    );
  }
});

test('A 401 of both sides renews the credentials once, and no waiting record fails.', async () => {
  const store = secretStoreOf(1, 2);
  const renewed = `Basic ${Buffer.from('reader:password-2').toString('base64')}`;
  await using source = await servePages(pagesOf(records(120), 20), (page, response) => {
    if (page >= 2 && response.req.headers.authorization !== renewed) answer(response, 401, {});
  });
  await using target = await serveTarget(({ authorization }, response) => {
    if (target.arrivals.length > 30 && authorization !== 'Bearer token-2') answer(response, 401, {});
  });
  await using path = await pipeline({ source, target, store });
  assert.equal(await path.run(), 'complete');
  assert.equal(path.report.written, 120);
  assert.equal(store.readings, 1);
});

const endings: [title: string, expected: { name: string }, options: object, status: number][] = [
  ['A 401 without a newer secret', { name: 'CredentialsError' }, { store: secretStoreOf(1, 1) }, 401],
  ['A second 401 after the renewal', { name: 'CredentialsError' }, { store: secretStoreOf(1, 2, 3) }, 401],
  ['A 412', { name: 'SupersededError' }, { refused: async () => ({ name: 'SupersededError' }) }, 412],
];
for (const [title, expected, options, status] of endings) {
  test(`${title} ends the run once everything in flight has settled, and no record has failed.`, async () => {
    await using source = await servePages(pagesOf(records(100), 20));
    await using target = await serveTarget(async ({ id }, response) => {
      if (Number(id.slice(6)) >= 30) return answer(response, status, {});
      // These are still in flight when the error comes.
      if (Number(id.slice(6)) >= 25) await sleep(100);
    });
    await using path = await pipeline({ source, target, concurrency: 10, ...options });
    await assert.rejects(path.run(), expected);
    assert.equal(target.inFlight, 0);
    const { read, written, failed, unsettled } = path.counts();
    assert.equal(written, 30);
    assert.equal(failed, 0);
    assert.equal(read, written + unsettled);
    assert.equal(target.stored.size, 30);
    assert.deepEqual(cursors(path.settled), ['1']);
  });
}

test('A pause of an hour that the target asks for ends the run as throttled, with nothing failed.', async () => {
  await using source = await servePages(pagesOf(records(40), 10));
  await using target = await serveTarget((_, response) => {
    if (target.stored.size >= 15) answer(response, 429, {}, { 'retry-after': '3600' });
  });
  await using path = await pipeline({ source, target, concurrency: 1 });
  assert.equal(await path.run(), 'throttled');
  assert.deepEqual(path.counts(), { read: 20, written: 15, invalid: 0, failed: 0, unsettled: 5 });
  assert.deepEqual(cursors(path.settled), ['1']);
});

test('A target that is down stops the run, and the failures of that streak stay unsettled.', async () => {
  await using source = await servePages(pagesOf(records(60), 10));
  await using target = await serveTarget((_, response) => {
    if (target.stored.size >= 25) answer(response, 500, {}, { 'retry-after': '0' });
  });
  await using path = await pipeline({ source, target, concurrency: 4, failuresBeforeStop: 8 });
  await assert.rejects(path.run(), { name: 'TargetDownError', message: /8 records in a row .* answered 500/ });
  const { read, written, failed, unsettled } = path.counts();
  assert.deepEqual({ written, failed }, { written: 25, failed: 0 });
  assert.equal(read, 25 + unsettled);
  assert.deepEqual(cursors(path.settled), ['1', '2']);
});

test('A source that breaks down in the middle ends the run, and the records read by then are written.', async () => {
  await using source = await servePages(pagesOf(records(40), 10), (page, response) => {
    if (page === 2) response.end('<html>');
  });
  await using target = await serveTarget(() => sleep(5));
  await using path = await pipeline({ source, target, concurrency: 3 });
  await assert.rejects(path.run(), { name: 'SourceError' });
  assert.deepEqual(path.counts(), { read: 20, written: 20, invalid: 0, failed: 0, unsettled: 0 });
  assert.deepEqual(cursors(path.settled), ['1', '2']);
});

test('Closing lets writes in flight finish and starts no more: the rest of the page is unsettled.', async () => {
  const gate = Promise.withResolvers<void>();
  await using source = await servePages(pagesOf(records(20), 5));
  await using target = await serveTarget(({ id }) => (Number(id.slice(6)) >= 5 ? gate.promise : undefined));
  await using path = await pipeline({ source, target, concurrency: 3 });
  const running = path.run();
  await until(() => target.inFlight === 3 && target.arrivals.length === 8);
  path.closing.abort(deadline());
  gate.resolve();
  assert.equal(await running, 'deadline');
  assert.deepEqual(path.counts(), { read: 10, written: 8, invalid: 0, failed: 0, unsettled: 2 });
  assert.deepEqual(cursors(path.settled), ['1']);
  assert.equal(target.arrivals.length, 8);
});

test('The cut aborts writes in flight: their records are unsettled, not failed.', async () => {
  await using source = await servePages(pagesOf(records(20), 10));
  await using target = await serveTarget(() => new Promise<void>(() => {}));
  await using path = await pipeline({ source, target, concurrency: 4 });
  const running = path.run();
  await until(() => target.inFlight === 4);
  path.closing.abort(deadline());
  path.cut.abort(deadline());
  assert.equal(await running, 'deadline');
  assert.deepEqual(path.counts(), { read: 10, written: 0, invalid: 0, failed: 0, unsettled: 10 });
  assert.deepEqual(path.settled, []);
  await until(() => target.inFlight === 0);
});

test('A deadline that comes while a page is awaited ends the run without waiting for it.', async () => {
  await using source = await servePages(pagesOf(records(20), 10), (page) =>
    page === 1 ? new Promise<void>(() => {}) : undefined,
  );
  await using target = await serveTarget();
  await using path = await pipeline({ source, target });
  const running = path.run();
  await until(() => target.stored.size === 10);
  path.closing.abort(deadline());
  assert.equal(await running, 'deadline');
  assert.deepEqual(path.counts(), { read: 10, written: 10, invalid: 0, failed: 0, unsettled: 0 });
  assert.deepEqual(cursors(path.settled), ['1']);
});

test('A deadline that comes while the last writes finish has interrupted nothing: the pass is complete.', async () => {
  const gate = Promise.withResolvers<void>();
  await using source = await servePages([records(3)]);
  await using target = await serveTarget(() => gate.promise);
  await using path = await pipeline({ source, target });
  const running = path.run();
  await until(() => target.inFlight === 3);
  path.closing.abort(deadline());
  gate.resolve();
  assert.equal(await running, 'complete');
  assert.deepEqual(path.counts(), { read: 3, written: 3, invalid: 0, failed: 0, unsettled: 0 });
  assert.deepEqual(cursors(path.settled), [null]);
});

test('A deadline that comes when the last record of the list is taken, or later, has interrupted nothing.', async () => {
  const closing = new AbortController();
  const settled: SettledPage[] = [];
  const write = async () => closing.abort(deadline());
  const ending = await sync({
    pages: (async function* () {
      yield { records: [{ id: 'a' }], cursor: null };
    })(),
    accept: {
      schema: v.object({ id: v.string() }),
      id: ({ id }) => id,
      updatedAtMs: undefined,
      prepare: () => ({ as: 'written', write, content: () => undefined }),
    },
    ...{ concurrency: 1, closing, report: newReport(), failuresBeforeStop: 2 },
    outcomes: { done() {}, async invalid() {}, failed() {} },
    pageSettled: (page) => settled.push(page),
  });
  assert.equal(ending, 'complete');
  assert.deepEqual(cursors(settled), [null]);
});

test('A run that is closing before it begins reads and writes nothing.', async () => {
  await using source = await servePages([records(3)]);
  await using target = await serveTarget();
  await using path = await pipeline({ source, target });
  path.closing.abort(deadline());
  assert.equal(await path.run(), 'deadline');
  assert.deepEqual(path.counts(), { read: 0, written: 0, invalid: 0, failed: 0, unsettled: 0 });
  assert.equal(target.arrivals.length, 0);
});

test('Records of one id are written one after the other in the order read, so the newest content wins.', async () => {
  let inFlight = 0;
  let peak = 0;
  const versions = Array.from({ length: 6 }, (_, version) => record('same', `version ${version}`));
  await using source = await servePages(pagesOf([...versions, record('other')], 3));
  await using target = await serveTarget(async ({ id }) => {
    if (id !== 'same') return;
    peak = Math.max(peak, ++inFlight);
    // Earlier versions take longer.
    await sleep(40 - 5 * target.arrivals.length);
    inFlight--;
  });
  await using path = await pipeline({ source, target, concurrency: 10 });
  assert.equal(await path.run(), 'complete');
  const written = target.arrivals.filter(({ id }) => id === 'same').map(({ body }) => body.name);
  assert.deepEqual(
    written,
    versions.map(({ name }) => name),
  );
  assert.equal(peak, 1);
  assert.equal(target.stored.get('same'), 'version 5');
});

test('Records of one id that arrive together do not block each other, not even with a single lane.', async () => {
  const list = ['a', 'a', 'b', 'a', 'b', 'b', 'a'].map((id, index) => record(id, `version ${index}`));
  for (const concurrency of [1, 2]) {
    await using source = await servePages(pagesOf(list, 3));
    await using target = await serveTarget();
    await using path = await pipeline({ source, target, concurrency });
    assert.equal(await path.run(), 'complete');
    assert.deepEqual(Object.fromEntries(target.stored), { a: 'version 6', b: 'version 5' });
  }
});

test('A record waits for the failing record of the same id before it, and is written then.', async () => {
  await using source = await servePages([[record('a', 'wrong'), record('a', 'right')]]);
  await using target = await serveTarget(async ({ body }, response) => {
    await sleep(20);
    if (body.name === 'wrong') answer(response, 422, {});
  });
  await using path = await pipeline({ source, target });
  assert.equal(await path.run(), 'complete');
  assert.equal(target.stored.get('a'), 'right');
  assert.deepEqual(path.counts(), { read: 2, written: 1, invalid: 0, failed: 1, unsettled: 0 });
});

test('A record that fails and is then written in a later version is reported in that order.', async () => {
  await using source = await servePages([[record('a', 'wrong'), record('a', 'right')]]);
  await using target = await serveTarget(({ body }, response) => {
    if (body.name === 'wrong') answer(response, 500, {});
  });
  const told: string[] = [];
  const outcomes = {
    done: (id: string, as: string) => void told.push(`${id} ${as}`),
    failed: (id: string) => void told.push(`${id} failed`),
  };
  await using path = await pipeline({ source, target, outcomes });
  assert.equal(await path.run(), 'complete');
  assert.deepEqual(told, ['a failed', 'a written']);
});

test('An error thrown by a callback ends the run and every record that waits for the same id.', async () => {
  await using source = await servePages([[record('a', 'wrong'), record('a', 'right')]]);
  await using target = await serveTarget((_, response) => answer(response, 422, {}));
  const outcomes = {
    failed() {
      throw new Error('a fault');
    },
  };
  await using path = await pipeline({ source, target, outcomes });
  await assert.rejects(path.run(), { message: 'a fault' });
  assert.equal(target.stored.size, 0);
});

test('A listing is closed when the run ends early, so that it can release its resources.', async () => {
  let closed = false;
  async function* listing(): AsyncGenerator<Page> {
    try {
      for (let page = 1; page < 1000; page++) yield { records: records(5), cursor: String(page) };
    } finally {
      closed = true;
    }
  }
  await using source = await servePages([]);
  await using target = await serveTarget((_, response) => answer(response, 412, {}));
  await using path = await pipeline({ source, target, sync: { pages: listing() } });
  await assert.rejects(path.run(), { message: 'fenced' });
  await until(() => closed);
  assert.ok(closed);
});

test('A schema may be asynchronous, and a record on which it throws is invalid like any other.', async () => {
  const schema = {
    '~standard': {
      ...{ version: 1 as const, vendor: 'test' },
      async validate(value: unknown) {
        await sleep(1);
        const { id } = value as { id: string };
        if (id === 'model-9') throw new RangeError(`private words about ${id}`);
        return { value: value as ReturnType<typeof record> };
      },
    },
  };
  await using source = await servePages(pagesOf(records(20), 7));
  await using target = await serveTarget();
  await using path = await pipeline({ source, target, concurrency: 3, schema });
  assert.equal(await path.run(), 'complete');
  assert.deepEqual(path.counts(), { read: 20, written: 19, invalid: 1, failed: 0, unsettled: 0 });
  assert.deepEqual(path.problems, [{ id: 'model-9', kind: 'invalid', reason: 'the job threw RangeError' }]);
});
