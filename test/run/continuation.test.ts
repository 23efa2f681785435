import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { serve } from '../../infra/local/serve.ts';
import { startLambda } from '../support/lambda.ts';
import { until } from '../support/pipeline.ts';
import { model, startWorld, withoutReasons } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

/** The invocations last 30 s: shorter than the pause that the target asks for. */
const SHORT_MS = 30_000;

/** A pass of three pages. The target takes two of them and then asks for a pause. */
async function startThrottled(env: Record<string, string>) {
  const records = Array.from({ length: 150 }, (_, index) => model(index));
  const world = await startWorld({ endpoints: etcd.endpoints, records, pageSize: 50, env });
  let writes = 0;
  world.target.refuse = () => (++writes > 110 ? 429 : undefined);
  world.target.retryAfterSeconds = 30;
  return world;
}

test('With CONTINUE=self a partial run invokes its function again, asynchronously, once it has unlocked.', async () => {
  await using lambda = await startLambda();
  await using world = await startThrottled({ CONTINUE: 'self', CONCURRENCY: '5' });
  const first = await world.tick({ scheduledTime: '2026-01-01T00:00:00Z' }, SHORT_MS);
  assert.equal(first.status, 'partial');
  const event = { kind: 'continue', root: first.runId, hop: 1 };
  assert.deepEqual(lambda.invocations, [
    { path: '/2015-03-31/functions/solotick-test-sync/invocations', type: 'Event', event },
  ]);

  world.target.refuse = undefined;
  world.env.MIN_INTERVAL_SECONDS = '3600';
  const second = await world.tick(event);
  assert.equal(second.status, 'completed');
  assert.equal(second.pass?.read, 150);
  assert.equal(lambda.invocations.length, 1);
});

test('A continuation goes on within the minimum interval after a completed tick of another chain.', async () => {
  await using lambda = await startLambda();
  await using world = await startThrottled({ CONTINUE: 'self', CONCURRENCY: '5', MIN_INTERVAL_SECONDS: '3600' });
  world.target.refuse = undefined;
  assert.equal((await world.tick()).status, 'completed');
  assert.equal((await world.tick()).reason, 'min-interval');
  assert.equal((await world.tick({ kind: 'continue', root: 'root', hop: 1 })).status, 'completed');
  assert.deepEqual(lambda.invocations, []);
});

test('A continuation leaves the records that failed before to the later ticks.', async () => {
  await using world = await startThrottled({ CONCURRENCY: '5' });
  world.target.refuse = (body) => (Object(body).name === 'Model 3' ? 422 : undefined);
  assert.equal((await world.tick()).report.failed, 1);
  const failed = [{ id: 'model-00003', attempts: 1 }];
  const readsById = () => world.source.requests.filter((path) => path.startsWith('/v1/models/')).length;
  assert.equal((await world.tick({ kind: 'continue', root: 'root', hop: 1 })).status, 'completed');
  assert.deepEqual(withoutReasons(await world.control({ action: 'status' })), failed);
  assert.equal(readsById(), 0);
  await world.tick();
  assert.equal(readsById(), 1);
});

test('A chain of continuations ends after 20, is not begun by default, and obeys a pause.', async () => {
  await using lambda = await startLambda();
  await using chained = await startThrottled({ CONTINUE: 'self', CONCURRENCY: '5' });
  assert.equal((await chained.tick({ kind: 'continue', root: 'root', hop: 20 }, SHORT_MS)).status, 'partial');
  await using plain = await startThrottled({ CONCURRENCY: '5' });
  assert.equal((await plain.tick({}, SHORT_MS)).status, 'partial');
  await plain.control({ action: 'pause' });
  assert.equal((await plain.tick({ kind: 'continue', root: 'root', hop: 1 })).reason, 'paused');
  assert.deepEqual(lambda.invocations, []);
});

test('A pause that outlasts several runs is not continued: the ticks until its end do nothing.', async () => {
  await using lambda = await startLambda();
  await using world = await startThrottled({ CONTINUE: 'self', CONCURRENCY: '5' });
  world.target.retryAfterSeconds = 3600;
  const { status, notBefore } = await world.tick();
  assert.deepEqual([status, typeof notBefore], ['partial', 'string']);
  assert.deepEqual(lambda.invocations, []);
  assert.equal((await world.tick()).reason, 'quota');
});

test('A continuation that Lambda does not answer is given up before the invocation ends.', async (t) => {
  // The test fires the time-out itself and compares the time that the run has set for it.
  const expiry = new AbortController();
  const timeouts: number[] = [];
  t.mock.method(AbortSignal, 'timeout', (ms: number) => {
    timeouts.push(ms);
    return expiry.signal;
  });
  let asked = 0;
  await using silent = await serve(() => void asked++);
  process.env.AWS_ENDPOINT_URL_LAMBDA = silent.url;
  await using world = await startThrottled({ CONTINUE: 'self', CONCURRENCY: '5' });
  const running = world.tick({}, SHORT_MS);
  await until(() => asked === 1);
  expiry.abort(new DOMException('the time is up', 'TimeoutError'));
  assert.equal((await running).status, 'partial');
  assert.equal(asked, 1);
  assert.equal(timeouts.length, 1);
  // Revoking the lease and answering take another 1250 ms of the 30 s.
  assert.ok(timeouts[0]! <= 28_750, `it is given up after ${timeouts[0]} ms`);
  assert.ok(world.lines.some(({ level, message }) => level === 'error' && /could not be continued/.test(message)));
});

test('A continuation that Lambda refuses is logged, and the run is partial all the same.', async () => {
  await using lambda = await startLambda(400);
  await using world = await startThrottled({ CONTINUE: 'self', CONCURRENCY: '5' });
  assert.equal((await world.tick({}, SHORT_MS)).status, 'partial');
  assert.equal(lambda.invocations.length, 1);
  assert.ok(world.lines.some(({ level, message }) => level === 'error' && /could not be continued/.test(message)));
});
