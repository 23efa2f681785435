import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { startLambda } from '../support/lambda.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const due = (minute: number) => `2026-01-24T12:${minute}:00.000Z`;

/** The invocations last 30 s: shorter than the pause that a target asks for. */
const SHORT_MS = 30_000;

/** A world of three pages with a tick under way, in which further ticks come while it writes its 110th record. */
async function start(env: Record<string, string>, minutes: number[]) {
  await using stack = new AsyncDisposableStack();
  const lambda = stack.use(await startLambda());
  const records = Array.from({ length: 150 }, (_, index) => model(index));
  const world = stack.use(
    await startWorld({
      ...{ endpoints: etcd.endpoints, records, pageSize: 50 },
      env: { OVERLAP: 'follow', CONCURRENCY: '5', ...env },
    }),
  );
  const skipped: Promise<void>[] = [];
  const skip = async () => {
    world.target.latencyMs = 20;
    for (const minute of minutes) {
      const { reason, heldBy } = await world.tick({ scheduledTime: due(minute) });
      assert.deepEqual([reason, heldBy?.kind], ['locked', 'tick']);
    }
  };
  let writes = 0;
  const outcome = { afterwards: undefined as number | undefined };
  world.target.latencyMs = 200;
  world.target.refuse = () => {
    if (++writes === 10) skipped.push(skip());
    return writes > 110 ? outcome.afterwards : undefined;
  };
  const owned = stack.move();
  return {
    ...{ world, lambda, outcome },
    async tick() {
      try {
        return await world.tick({ scheduledTime: due(10) }, SHORT_MS);
      } finally {
        await Promise.all(skipped);
        world.target.refuse = undefined;
      }
    },
    events: () => lambda.invocations.map(({ path, event }) => [path.split('/').at(-2), event]),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const followed = (minute: number) => [['solotick-test-sync', { kind: 'tick', scheduledTime: due(minute) }]];

test('With OVERLAP=follow a tick that found the lock held is sent again at the end of that run, the last of several only.', async () => {
  await using it = await start({}, [11, 12]);
  assert.equal((await it.tick()).status, 'completed');
  assert.deepEqual(it.events(), followed(12));
  // Nobody found this one in the way.
  assert.equal((await it.world.tick({ scheduledTime: due(12) })).status, 'completed');
  assert.equal(it.events().length, 1);
});

test('By default a tick that found the lock held waits for the next one that is due.', async () => {
  await using it = await start({ OVERLAP: 'skip' }, [11]);
  assert.equal((await it.tick()).status, 'completed');
  assert.deepEqual(it.events(), []);
});

test('A partial run that would continue sends the tick that found it in its way instead, which goes on with the pass.', async () => {
  await using it = await start({ CONTINUE: 'self' }, [11]);
  it.outcome.afterwards = 429;
  it.world.target.retryAfterSeconds = 30;
  const first = await it.tick();
  assert.equal(first.status, 'partial');
  assert.deepEqual(it.events(), followed(11));
  const { status, pass } = await it.world.tick({ scheduledTime: due(11) });
  assert.deepEqual([status, pass?.read], ['completed', 150]);
});

test('A partial run that no tick found in its way continues as ever.', async () => {
  await using it = await start({ CONTINUE: 'self' }, []);
  it.outcome.afterwards = 429;
  it.world.target.retryAfterSeconds = 30;
  const { runId } = await it.tick();
  assert.deepEqual(it.events(), [['solotick-test-sync', { kind: 'continue', root: runId, hop: 1 }]]);
});

test('A run that fails sends the tick again that found it in its way.', async () => {
  await using it = await start({}, [11]);
  it.world.source.refuse = (path) => (/cursor=/.test(path) ? 400 : undefined);
  await assert.rejects(it.tick(), { name: 'SourceError' });
  assert.deepEqual(it.events(), followed(11));
});

test('While a server asks for a long pause nothing is sent: the tick would do nothing.', async () => {
  await using it = await start({}, [11]);
  it.outcome.afterwards = 429;
  it.world.target.retryAfterSeconds = 3600;
  const { status, notBefore } = await it.tick();
  assert.deepEqual([status, typeof notBefore], ['partial', 'string']);
  assert.deepEqual(it.events(), []);
});
