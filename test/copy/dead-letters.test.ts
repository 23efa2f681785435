import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { type LocalQueue, startQueue } from '../../infra/local/queue.ts';
import { serve } from '../../infra/local/serve.ts';
import { openDeadLetters } from '../../lib/copy/dead-letters.ts';
import type { Log } from '../../lib/log.ts';
import { pipeline, record, servePages, serveTarget, until } from '../support/pipeline.ts';
import { model, startWorld, withoutReasons } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const letters = (queue: LocalQueue) => queue.messages.map((message) => JSON.parse(message));
const invalid = (index: number) => ({ ...model(index), name: '' });

const origin = { job: 'models', stage: 'test', runId: 'run', shard: undefined };

/** Reads everything again at the next tick. */
type World = Awaited<ReturnType<typeof startWorld>>;
const forget = (world: World) => world.control({ action: 'reset', what: 'watermark' });

test('An invalid record goes to the dead-letter queue once for each content, and comes back when it is corrected.', async () => {
  await using queue = await startQueue();
  const records = [model(1), invalid(2), model(3)];
  const env = { DEAD_LETTER_QUEUE_URL: queue.url };
  await using world = await startWorld({ endpoints: etcd.endpoints, records, env });
  const first = await world.tick();
  assert.equal(first.report.invalid, 1);
  const [letter] = letters(queue);
  assert.deepEqual(
    { ...letter, at: typeof letter.at },
    {
      ...{ job: 'models', stage: 'test', runId: first.runId, at: 'string', id: 'model-00002', kind: 'invalid' },
      ...{ reason: letter.reason, record: invalid(2) },
    },
  );
  assert.match(letter.reason, /^name: /);

  await forget(world);
  assert.equal((await world.tick()).report.invalid, 1);
  assert.equal(queue.messages.length, 1);

  world.source.records[1] = { ...invalid(2), limit: {} };
  await forget(world);
  await world.tick();
  assert.equal(queue.messages.length, 2);

  world.source.records[1] = model(2);
  await forget(world);
  assert.equal((await world.tick()).report.written, 3);
  assert.equal(queue.messages.length, 2);
});

test('A record that fails at five ticks goes to the dead-letter queue and leaves the list; hops of a chain do not count.', async () => {
  await using queue = await startQueue();
  const env = { DEAD_LETTER_QUEUE_URL: queue.url };
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [model(1), model(2)], env });
  world.target.refuse = (body) => ((body as { name: string }).name === 'Model 2' ? 422 : undefined);
  for (let attempts = 1; attempts < 5; attempts++) {
    // Another record shows that the target is up.
    world.source.records[0] = model(1, 100 + attempts);
    await world.tick();
    assert.deepEqual(withoutReasons(await world.control({ action: 'status' })), [{ id: 'model-00002', attempts }]);
    await world.tick({ kind: 'continue', root: 'root', hop: 1 });
    assert.deepEqual(withoutReasons(await world.control({ action: 'status' })), [{ id: 'model-00002', attempts }]);
    assert.equal(queue.messages.length, 0);
  }
  world.source.records[0] = model(1, 200);
  queue.refuse = 400;
  await world.tick();
  assert.deepEqual(withoutReasons(await world.control({ action: 'status' })), [{ id: 'model-00002', attempts: 5 }]);
  assert.ok(world.lines.some(({ level, message }) => level === 'error' && /dead-letter queue/.test(message)));

  queue.refuse = undefined;
  await world.tick();
  assert.deepEqual((await world.control({ action: 'status' })).failed, []);
  const [letter] = letters(queue);
  assert.equal(queue.messages.length, 1);
  assert.deepEqual([letter.id, letter.kind, letter.attempts], ['model-00002', 'failed', 5]);
});

test('While the target is down no attempt counts and no record is given up, however few there are to fail in a row.', async () => {
  await using queue = await startQueue();
  const env = { DEAD_LETTER_QUEUE_URL: queue.url };
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [model(1)], env });
  const failed = [{ id: 'model-00001', attempts: 4 }];
  await etcd.etcdctl(['put', `${world.prefix}/state/checkpoint`, JSON.stringify({ failed })]);
  world.target.refuse = () => 500;
  for (let ticks = 0; ticks < 2; ticks++) {
    const { status, report } = await world.tick();
    assert.deepEqual([status, report.written, report.failed > 0], ['completed', 0, true]);
    assert.deepEqual(withoutReasons(await world.control({ action: 'status' })), failed);
  }
  assert.deepEqual(queue.messages, []);
  world.target.refuse = undefined;
  assert.equal((await world.tick()).report.failed, 0);
  assert.deepEqual((await world.control({ action: 'status' })).failed, []);
});

test('A record that the source no longer shows is given up, although there is nothing else to write.', async () => {
  await using queue = await startQueue();
  const env = { DEAD_LETTER_QUEUE_URL: queue.url };
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [model(1)], env });
  world.target.refuse = () => 422;
  await world.tick();
  world.source.records = [];
  world.source.refuse = (path) => (path.includes('/model-') ? 403 : undefined);
  for (let tick = 0; tick < 5; tick++) await world.tick();
  assert.deepEqual((await world.control({ action: 'status' })).failed, []);
  assert.deepEqual(
    letters(queue).map(({ id, kind, attempts, reason }) => ({ id, kind, attempts, reason: /403/.test(reason) })),
    [{ id: 'model-00001', kind: 'failed', attempts: 5, reason: true }],
  );
});

test('A failed record that has become invalid is given up under the id that the job uses.', async () => {
  await using queue = await startQueue();
  const env = { DEAD_LETTER_QUEUE_URL: queue.url };
  const job = {
    id: (record: { id: string }) => `key of ${record.id.toString()}`,
    source: { one: (id: string) => `/v1/models/${id.replace('key of ', '')}` },
  };
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [model(1)], env, job });
  world.target.refuse = () => 422;
  await world.tick();
  world.source.records = [invalid(1), { ...invalid(2), id: undefined }];
  for (let tick = 0; tick < 4; tick++) await world.tick();
  assert.deepEqual((await world.control({ action: 'status' })).failed, []);
  assert.deepEqual(
    letters(queue)
      .map(({ id, kind, attempts }) => [id, kind, attempts])
      .sort(),
    [
      ['key of model-00001', 'failed', 5],
      ['key of model-00001', 'invalid', undefined],
      ['record 2 of page 2', 'invalid', undefined],
    ],
  );
});

test('A record that a backfill cannot write goes to the dead-letter queue at once, and the result names it for a later backfill.', async () => {
  await using queue = await startQueue();
  const records = [model(1), model(2), invalid(3)];
  const env = { DEAD_LETTER_QUEUE_URL: queue.url };
  await using world = await startWorld({ endpoints: etcd.endpoints, records, env });
  world.target.refuse = (body) => ((body as { name: string }).name === 'Model 2' ? 422 : undefined);
  const { status, report, failedIds } = await world.backfill({});
  assert.deepEqual([status, report.written, report.failed, report.invalid], ['completed', 1, 1, 1]);
  assert.deepEqual(failedIds, ['model-00002']);
  assert.deepEqual(
    letters(queue).map(({ id, kind }) => [id, kind]),
    [
      ['model-00003', 'invalid'],
      ['model-00002', 'failed'],
    ],
  );
  world.target.refuse = undefined;
  assert.equal((await world.backfill({ ids: failedIds })).report.written, 1);
});

test('A backfill whose every record the target refuses sends all of them to the dead-letter queue.', async () => {
  await using queue = await startQueue();
  const env = { DEAD_LETTER_QUEUE_URL: queue.url };
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [model(1), model(2)], env });
  world.target.refuse = () => 422;
  const { failedIds } = await world.backfill({ ids: ['model-00001', 'model-00002'] });
  assert.deepEqual(failedIds, ['model-00001', 'model-00002']);
  assert.deepEqual(
    letters(queue)
      .map(({ id }) => id)
      .sort(),
    failedIds,
  );
});

test('A backfill with more failed records than its result can name says so.', async () => {
  const records = Array.from({ length: 1011 }, (_, index) => model(index));
  await using world = await startWorld({ endpoints: etcd.endpoints, records });
  world.target.refuse = (body) => (Object(body).name === 'Model 0' ? undefined : 422);
  const { report, failedIds } = await world.backfill({});
  assert.deepEqual([report.failed, failedIds?.length], [1010, 1000]);
  const told = world.lines.filter(({ message }) => /more records failed than a backfill can name/.test(message));
  assert.equal(told.length, 1);
});

test('A record that the target refuses is given up although nothing else is written: the target is up.', async () => {
  await using queue = await startQueue();
  const env = { DEAD_LETTER_QUEUE_URL: queue.url };
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [model(1)], env });
  world.target.refuse = () => 422;
  for (let tick = 0; tick < 5; tick++) await world.tick();
  assert.deepEqual(
    letters(queue).map(({ id, attempts }) => [id, attempts]),
    [['model-00001', 5]],
  );
  assert.deepEqual((await world.control({ action: 'status' })).failed, []);
});

test('What is on its way to the dead-letter queue is not saved as sent.', async () => {
  await using queue = await startQueue();
  const { signal } = new AbortController();
  const open = openDeadLetters({ url: queue.url, known: [], origin, log: { error() {} } as unknown as Log, signal });
  const sending = open.invalid({ id: 'a', kind: 'invalid', record: 1 });
  assert.deepEqual(open.known(), []);
  await sending;
  assert.equal(open.known().length, 1);
  queue.refuse = 400;
  await open.invalid({ id: 'b', kind: 'invalid', record: 2 });
  assert.equal(open.known().length, 1);
});

test('A page is settled only when the dead-letter queue has its invalid records.', async () => {
  const gate = Promise.withResolvers<void>();
  await using source = await servePages([[record('a'), { id: 'b' }], [record('c')]]);
  await using target = await serveTarget();
  await using path = await pipeline({ source, target, outcomes: { invalid: () => gate.promise } });
  const running = path.run();
  await until(() => target.stored.size === 2);
  assert.equal(path.settled.length, 0);
  gate.resolve();
  assert.equal(await running, 'complete');
  assert.equal(path.settled.length, 2);
});

test('A flood of invalid records sends a thousand messages, and a later run forgets the hashes that it saw longest ago.', async () => {
  await using queue = await startQueue();
  const warnings: string[] = [];
  const log = { warn: (message: string) => warnings.push(message), error() {} } as unknown as Log;
  const { signal } = new AbortController();
  const open = (known: string[]) => openDeadLetters({ url: queue.url, known, origin, log, signal });
  process.env.AWS_REGION = 'us-east-1';
  process.env.AWS_ACCESS_KEY_ID = 'local';
  process.env.AWS_SECRET_ACCESS_KEY = 'local';
  const first = open([]);
  for (let record = 0; record < 1010; record++) await first.invalid({ id: `${record}`, kind: 'invalid', record });
  assert.equal(queue.messages.length, 1000);
  assert.equal(warnings.length, 1);

  const second = open(first.known());
  assert.equal(second.invalid({ id: '1', kind: 'invalid', record: 1 }), undefined);
  await second.invalid({ id: 'new', kind: 'invalid', record: 'new' });
  assert.equal(queue.messages.length, 1001);
  assert.equal(second.known().length, 1000);
  assert.equal(warnings.length, 1);
  // The first one was seen longest ago.
  assert.notEqual(open(second.known()).invalid({ id: '0', kind: 'invalid', record: 0 }), undefined);
  await until(() => queue.messages.length === 1002);
});

test('A queue that takes nothing is left alone after ten records, and each is sent when it is read again.', async () => {
  let asked = 0;
  await using down = await serve((_, response) => {
    asked++;
    response.writeHead(400).end();
  });
  await using queue = await startQueue();
  const records = Array.from({ length: 100 }, (_, index) => invalid(index));
  const env = { DEAD_LETTER_QUEUE_URL: `${down.url}/0/queue`, CONCURRENCY: '5' };
  await using world = await startWorld({ endpoints: etcd.endpoints, records, env });
  assert.equal((await world.tick()).report.invalid, 100);
  assert.ok(asked < 20, `${asked} messages`);
  const errors = world.lines.filter(({ level }) => level === 'error').map(({ message }) => message);
  assert.equal(errors.length, 11);
  assert.match(errors.at(-1)!, /left alone for 60 s/);
  world.env.DEAD_LETTER_QUEUE_URL = queue.url;
  await forget(world);
  await world.tick();
  assert.equal(queue.messages.length, 100);
});

test('A record with characters that SQS does not take arrives as it is.', async () => {
  await using queue = await startQueue();
  const { signal } = new AbortController();
  const open = openDeadLetters({ url: queue.url, known: [], origin, log: {} as Log, signal });
  const letter = { id: '\uffff', kind: 'invalid', record: '\ufffe\ufffd\u0000\ud800😀' } as const;
  await open.invalid(letter);
  // The SendMessage reference: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF.
  assert.match(queue.messages[0]!, /^[\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]*$/u);
  assert.partialDeepStrictEqual(letters(queue)[0], letter);
});

test('A record that is too long for a message is sent without its content, and nothing is sent without a queue.', async () => {
  await using queue = await startQueue();
  const { signal } = new AbortController();
  const options = { origin: { ...origin, shard: '0-of-2' }, log: {} as Log, signal };
  const letter = { id: 'a', kind: 'invalid', record: 'x'.repeat(60_000) } as const;
  await openDeadLetters({ ...options, url: queue.url, known: [] }).invalid(letter);
  assert.deepEqual(
    [letters(queue)[0].id, letters(queue)[0].shard, letters(queue)[0].record],
    ['a', '0-of-2', undefined],
  );
  const none = openDeadLetters({ ...options, url: undefined, known: ['known'] });
  assert.equal(none.invalid(letter), undefined);
  assert.deepEqual(await none.givenUp([letter]), []);
  assert.deepEqual(none.known(), ['known']);
});
