import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { answer } from '../../infra/local/serve.ts';
import { openBatches } from '../../lib/engine/batches.ts';
import { TargetError } from '../../lib/errors.ts';
import type { Answer, Outcome, TargetJob } from '../../lib/job-types.ts';
import { openCredentials } from '../../lib/settings/secrets.ts';
import type { InBatch } from '../../lib/write/bulk.ts';
import type { Writing } from '../../lib/write/prepare.ts';
import { openTarget } from '../../lib/write/target.ts';
import { type Model, manyAtOnce, serveBulkTarget } from '../support/bulk-target.ts';
import { job } from '../support/job.ts';
import { secretStoreOf } from '../support/pipeline.ts';
import { mulberry32 } from '../support/random.ts';

interface Named extends Model {
  name: string;
}

const named = (id: string, name = `name of ${id}`): Named => ({ id, name });
const many = (count: number) => Array.from({ length: count }, (_, index) => named(`model-${index}`));

/** The bulk writes of a job at a real target. */
async function open(
  options: {
    writeMany?: Partial<NonNullable<TargetJob<Named>['writeMany']>>;
    target?: Partial<TargetJob<Named>>;
    writing?: Partial<Writing<Named>>;
    token?: string;
    handle?: (response: ServerResponse, ids: string[]) => Promise<void> | void;
  } = {},
) {
  await using stack = new AsyncDisposableStack();
  const served = stack.use(await serveBulkTarget());
  const { handle } = options;
  if (handle) served.before = ({ ids }, response) => handle(response, ids);
  const { signal } = new AbortController();
  const credentials = await openCredentials(secretStoreOf(1), signal);
  const guard = { check() {}, closing: signal, closesInMs: () => 60_000, signal };
  const fenced = () => Object.assign(new Error('a later run'), { name: 'SupersededError' });
  const fence = { token: options.token ?? '42', scope: '/locks/a', refused: async () => fenced() };
  const server = { url: served.url, credentials, guard, timeoutMs: 60_000, concurrency: 50, perSecond: undefined };
  const writeMany = { ...manyAtOnce({ max: 500 }), ...options.writeMany } as NonNullable<TargetJob<Named>['writeMany']>;
  const target = stack.use(
    openTarget<Named>(
      { auth: job.target.auth as never, writeMany, ...options.target },
      { id: ({ id }) => id, passName: () => 'run-1', settings: {}, ...options.writing },
      fence,
      server,
    ),
  );
  const owned = stack.move();
  const inBatch = (record: Named) => {
    const { bytes, content } = target.prepare(record);
    const updatedAtMs = options.writing?.updatedAtMs?.(record) ?? Number.NaN;
    return { id: record.id, record, updatedAtMs, bytes, content };
  };
  const write = (records: Named[]) => target.bulk!.write(records.map(inBatch));
  return { served, ...target, bulk: target.bulk!, inBatch, write, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** What became of each record; where that concerns all of them, what was thrown. */
async function told(writing: Promise<(TargetError | undefined)[]>) {
  try {
    return (await writing).map((error) => error?.message);
  } catch (error) {
    return (error as Error).message;
  }
}

/** Answers results with these outcomes, whatever the target says. */
const saying = (results: () => unknown) => open({ writeMany: { results: results as () => Outcome[] } });

test('A bulk write is one request of all its records, with the token, the fence and the key of the batch.', async () => {
  await using target = await open();
  assert.deepEqual(await told(target.write([named('b'), named('a')])), [undefined, undefined]);
  const [arrival] = target.served.arrivals;
  assert.equal(target.served.arrivals.length, 1);
  assert.deepEqual([arrival?.method, arrival?.models], ['POST', [named('b'), named('a')]]);
  const { headers } = arrival!;
  assert.deepEqual(
    [headers.authorization, headers['x-fencing-token'], headers['x-fencing-scope'], headers['content-type']],
    ['Bearer token-1', '42', '/locks/a', 'application/json'],
  );
  assert.match(`${headers['idempotency-key']}`, /^run-1%3Abatch%3A[0-9a-f]{16}$/);
});

test('A batch has its key in each attempt and in each run of the pass, and another one has another.', async () => {
  let answers = 0;
  const handle = (response: ServerResponse) => {
    if (++answers < 3) answer(response, 503, {}, { 'retry-after': '0' });
  };
  await using target = await open({ handle });
  await using resumed = await open({ token: '43' });
  await using another = await open({ writing: { passName: () => 'run-2' } });
  await told(target.write(many(3)));
  await told(resumed.write(many(3)));
  await told(resumed.write(many(2)));
  await told(resumed.write([named('model-0', 'other'), ...many(3).slice(1)]));
  await told(another.write(many(3)));
  const keys = [target, resumed, another].flatMap(({ served }) =>
    served.arrivals.map(({ headers }) => headers['idempotency-key']),
  );
  const order = [...new Set(keys)];
  assert.deepEqual(
    keys.map((key) => order.indexOf(key)),
    [0, 0, 0, 0, 1, 2, 3],
  );
});

test('A batch that the target wants to see again whole has a key for each such answer, and the same one in each run.', async () => {
  await using target = await open();
  await using resumed = await open({ token: '43' });
  for (const { bulk, inBatch } of [target, resumed])
    for (const answered of [0, 1, 2]) await bulk.write(many(3).map(inBatch), answered);
  const [keys, later] = [target, resumed].map(({ served }) =>
    served.arrivals.map(({ headers }) => headers['idempotency-key']),
  );
  assert.equal(new Set(keys).size, 3);
  assert.deepEqual(keys, later);
});

test('A record that is again what it was makes another key: by its time, or else by how often it has changed.', async () => {
  const times = new Map<Named, number>();
  const at = (name: string, ms: number) => {
    const record = named('a', name);
    times.set(record, ms);
    return record;
  };
  let count = 0;
  let last = '';
  const changes = {
    countOf(id: string, content: string) {
      if (id !== 'a') return 0;
      if (last !== '' && last !== content) count++;
      last = content;
      return count;
    },
  };
  for (const writing of [{ updatedAtMs: (record: Named) => times.get(record) ?? 0 }, { changes }]) {
    await using target = await open({ writing });
    for (const [name, ms] of [
      ['A', 1],
      ['A', 1],
      ['B', 2],
      ['A', 3],
    ] as const) {
      assert.deepEqual(await told(target.write([named('b'), at(name, ms)])), [undefined, undefined]);
    }
    const keys = target.served.arrivals.map(({ headers }) => headers['idempotency-key']);
    assert.deepEqual([new Set(keys).size, keys[0] === keys[1]], [3, true]);
    assert.deepEqual(target.served.models.get('a'), { name: 'A' });
  }
});

test('Batches of the same records in another place, or with a query, have keys of their own.', async () => {
  let region = 'eu';
  const request = (models: Named[]) =>
    ({ method: 'POST', path: '/bulk', query: { region }, body: { models } }) as const;
  await using target = await open({ writeMany: { request } });
  for (region of ['eu', 'us', 'eu']) await told(target.write(many(2)));
  assert.equal(new Set(target.served.arrivals.map(({ headers }) => headers['idempotency-key'])).size, 2);
});

test('Without results all records of an answer 2xx are written; a 207 is one.', async () => {
  const handle = (response: ServerResponse) => answer(response, 207, { items: ['whatever'] });
  await using target = await open({ writeMany: { results: undefined as never }, handle });
  assert.deepEqual(await told(target.write(many(3))), [undefined, undefined, undefined]);
});

test('Results say what became of each record; a reason is cut, and shows neither the record nor the secret.', async () => {
  const record = named('private-id', 'private name');
  const reason = `no such field in private-id (private%20name), says ${'x'.repeat(300)}`;
  await using target = await open();
  target.served.outcomeOf = ({ id }) =>
    id === 'private-id'
      ? { refused: reason }
      : id === 'again'
        ? 'retry'
        : id === 'token'
          ? { refused: 'token-1!' }
          : undefined;
  const outcomes = await target.write([named('a'), record, named('again'), named('token')]);
  assert.deepEqual(
    outcomes.map((error) => error && [error.refused, error.status]),
    [undefined, [true, 422], [false, 207], [true, 422]],
  );
  assert.match(`${outcomes[1]?.message}`, /^the target refused the record: no such field in … \(…\), says x+…$/);
  assert.ok(`${outcomes[1]?.message}`.length <= 'the target refused the record: '.length + 200);
  assert.equal(outcomes[2]?.message, 'the target answered 207: the record is to be sent again');
  assert.equal(outcomes[3]?.message, 'the target refused the record');
});

test('A job that puts its list of records into another order gets the results for those of that order.', async () => {
  const byName = (one: Named, other: Named) => (one.name < other.name ? -1 : 1);
  const bulk = (models: Named[]) => ({ method: 'POST', path: '/bulk', body: { models } }) as const;
  const inOrder = manyAtOnce({ max: 500 }).results!;
  for (const writeMany of [
    { request: (models: Named[]) => bulk(models.sort(byName)) },
    { request: (models: Named[]) => bulk(models.reverse()) },
    {
      request: bulk,
      results: ((answered, models) => [inOrder(answered, models.reverse()), []][0]!.reverse()) as typeof inOrder,
    },
  ]) {
    await using target = await open({ writeMany });
    target.served.outcomeOf = ({ id }) => (id === 'bad' ? { refused: 'no' } : id === 'again' ? 'retry' : undefined);
    const outcomes = await target.write([named('again', 'c'), named('good', 'b'), named('bad', 'd'), named('x', 'a')]);
    assert.deepEqual(
      outcomes.map((error) => error?.refused),
      [false, undefined, true, undefined],
    );
  }
});

test('Results that throw, give too few outcomes or none that are any are a fault of all records, which says nothing they hold.', async () => {
  const sparse: unknown[] = [];
  sparse[2] = 'written';
  for (const [results, what] of [
    [() => JSON.parse('private words'), /results of the job threw SyntaxError$/],
    [() => ['written', 'written'], /gave 2 outcomes for 3 records$/],
    [() => ['written', 'written', 'written', 'written'], /gave 4 outcomes for 3 records$/],
    [() => undefined, /gave no outcomes for 3 records$/],
    [() => Promise.resolve(['written', 'written', 'written']), /gave no outcomes for 3 records$/],
    [() => ({ length: 3, 0: 'written' }), /gave no outcomes for 3 records$/],
    [() => ['written', 'private words', 'written'], /gave an outcome that is none$/],
    [() => ['written', undefined, 'written'], /gave an outcome that is none$/],
    [() => ['written', { refused: 5 }, 'written'], /gave an outcome that is none$/],
    [() => sparse, /gave an outcome that is none$/],
  ] as const) {
    await using target = await saying(results);
    const error = await target.write(many(3)).then(
      (outcomes) => assert.fail(`${what}: ${JSON.stringify(outcomes)}`),
      (thrown) => thrown,
    );
    assert.ok(error instanceof TargetError && error.refused, String(error));
    assert.match(error.message, what);
    assert.equal(error.status, 200);
  }
});

test('Results see an answer of more than 1 MB, and of one that is larger than 16 MB they are told so.', async () => {
  const seen: number[] = [];
  const results = (answered: Answer, records: Named[]) => {
    seen.push(answered.text().length);
    return records.map(() => 'written' as const);
  };
  let length = 3_000_000;
  const handle = (response: ServerResponse) => void response.end('x'.repeat(length));
  await using target = await open({ writeMany: { results }, handle });
  assert.deepEqual(await told(target.write(many(2))), [undefined, undefined]);
  assert.deepEqual(seen, [3_000_000]);
  length = 17 * 1024 * 1024;
  assert.equal(await told(target.write(many(2))), 'target.writeMany.results of the job threw RangeError');
});

test('What the job’s check calls written goes to results, and what it calls refused does not.', async () => {
  const check = ({ status }: Answer) => (status === 409 ? 'written' : status === 202 ? 'refused' : undefined);
  let status = 409;
  const handle = (response: ServerResponse) => answer(response, status, { items: ['written', 'retry'] });
  await using target = await open({ target: { check }, handle });
  const [first, second] = await target.write(many(2));
  assert.deepEqual([first, second?.refused], [undefined, false]);
  status = 202;
  await assert.rejects(target.write(many(2)), { name: 'TargetError', status: 202, refused: true });
});

test('What the target refuses as a whole is thrown, without parts of any record; a fence’s answer is the fence’s.', async () => {
  let status = 422;
  const handle = (response: ServerResponse, ids: string[]) =>
    answer(response, status, { message: `no: name of ${ids[0]}, name of ${ids[1]}` });
  await using target = await open({ handle });
  const refused = await target.write(many(2)).catch((error) => error);
  assert.deepEqual([refused.name, refused.status, refused.refused], ['TargetError', 422, true]);
  assert.ok(!/model-|name of/.test(refused.message), refused.message);
  status = 412;
  await assert.rejects(target.write(many(2)), { name: 'SupersededError' });
});

test('Records of which no request can be made are no request.', async () => {
  const requests: NonNullable<TargetJob<Named>['writeMany']>['request'][] = [
    () => {
      throw new Error('private words');
    },
    () => ({ method: 'POST', path: '/bulk', body: 10n }),
    () => ({ path: '/bulk', body: {} }),
    () => undefined as never,
  ];
  for (const request of requests) {
    await using target = await open({ writeMany: { request } });
    await assert.rejects(target.write(many(2)), {
      ...{ name: 'TargetError', refused: true, status: undefined },
      message: 'the job could not make a request of the record',
    });
    assert.equal(target.served.arrivals.length, 0);
  }
});

test('A request that is larger than maxBytes is not sent, whether it is of one record or of many.', async () => {
  await using target = await open({ writeMany: { maxBytes: 100 } });
  assert.equal(
    await told(target.write([named('a', 'x'.repeat(100))])),
    'a request for the record has 133 bytes, more than maxBytes 100',
  );
  assert.match(`${await told(target.write(many(9)))}`, /^a request for 9 records has \d+ bytes, more than maxBytes/);
  assert.equal(target.served.arrivals.length, 0);
  assert.deepEqual(await told(target.write([named('a', 'x'.repeat(67))])), [undefined]);
  assert.equal(target.served.arrivals[0]?.bytes, 100);
});

/** Writes these pages in the batches that the engine makes of them, each in halves where it is too large. */
async function writeAll({ bulk, inBatch }: Awaited<ReturnType<typeof open>>, pages: Named[][]) {
  type Ready = InBatch<Named>;
  const batches = openBatches<Ready, Ready>(bulk, () => false);
  async function write(batch: Ready[]): Promise<void> {
    const error = await bulk.write(batch).then(
      () => undefined,
      (thrown: Error) => thrown,
    );
    if (!error) return;
    assert.ok(error instanceof TargetError && batch.length > 1, error.message);
    const middle = Math.ceil(batch.length / 2);
    await write(batch.slice(0, middle));
    await write(batch.slice(middle));
  }
  const writeEach = async (ready: (Ready | Ready[])[]) => {
    for (const one of ready) await write([one].flat());
  };
  for (const page of pages) {
    for (let from = 0; from < page.length; from += 25) {
      const some = page.slice(from, from + 25);
      await writeEach(batches.put(some.map(inBatch)));
    }
    await writeEach(batches.close());
  }
}

const random = mulberry32(17);
const texts = (count: number, of: () => string) =>
  Array.from({ length: count }, (_, index) => named(`model-${index}`, of()));
const long = (text: string) => () => text.repeat(1 + Math.floor(random() * 40));

for (const [what, pages, request] of [
  ['are alike', [texts(3000, () => 'x'.repeat(50))]],
  ['differ in size', [texts(3000, long('name '))]],
  ['are of other letters', [texts(1000, long('"quoted" ')), texts(1000, long('größe ')), texts(1000, long('😀'))]],
  ['begin with a page of a small one', [[named('first', '')], texts(3000, long('name '))], inEnvelope],
  ['add less and less beside what they say', [texts(4000, () => ''), texts(3000, long('name '))], withMeta],
  ['go in a body of which they are a part', [texts(3000, long('name '))], onlyIds],
] as const) {
  test(`Requests are never larger than maxBytes, and nearly as few as can be, where records ${what}.`, async () => {
    const maxBytes = 20_000;
    await using target = await open({ writeMany: { max: 1_000_000, maxBytes, ...(request && { request }) } });
    await writeAll(target, pages as unknown as Named[][]);
    const { arrivals } = target.served;
    assert.ok(arrivals.every(({ bytes }) => bytes <= maxBytes));
    assert.equal(arrivals.flatMap(({ ids }) => ids).length, pages.flat().length);
    const ideal = Math.ceil(arrivals.reduce((sum, { bytes }) => sum + bytes, 0) / maxBytes);
    assert.ok(arrivals.length <= 1.25 * ideal + 6, `${arrivals.length} requests where ${ideal} would do`);
  });
}

test('A record that is no JSON by itself is written by the request that the job makes of it, with maxBytes as well.', async () => {
  const request = (records: Named[]) => ({
    ...({ method: 'POST', path: '/bulk' } as const),
    body: { models: records.map(({ id, name }) => ({ id, name: String(name) })) },
  });
  await using target = await open({ writeMany: { request, maxBytes: 1000 } });
  const record = named('a', 10n as unknown as string);
  assert.doesNotThrow(() => target.prepare(record));
  assert.deepEqual(await told(target.write([record])), [undefined]);
  assert.deepEqual(target.served.models.get('a'), { name: '10' });
});

/** The request has more beside the records. */
function inEnvelope(models: Named[]) {
  return { method: 'POST', path: '/bulk', body: { about: 'x'.repeat(1000), models } } as const;
}

/** Each record has more beside it. */
function withMeta(models: Named[]) {
  return {
    method: 'POST',
    path: '/bulk',
    body: { models: models.map((one) => ({ ...one, is: 'x'.repeat(100) })) },
  } as const;
}

/** Only a small part of each record goes. */
function onlyIds(models: Named[]) {
  return { method: 'POST', path: '/bulk', body: { models: models.map(({ id }) => ({ id })) } } as const;
}
