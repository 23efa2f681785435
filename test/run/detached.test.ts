import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { type SentEvent, startFakeLambda } from '../support/chain.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
let lambda: Awaited<ReturnType<typeof startFakeLambda>>;
before(async () => {
  etcd = await startEtcd();
  lambda = await startFakeLambda();
});
after(async () => {
  await lambda[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

type World = Awaited<ReturnType<typeof worldOf>>;

function worldOf(count: number, env: Record<string, string> = {}) {
  lambda.sent.length = 0;
  lambda.status = 202;
  const records = Array.from({ length: count }, (_, index) => model(index));
  return startWorld({ endpoints: etcd.endpoints, records, pageSize: 10, env });
}

/** The events that were sent since the last call. */
const sent = (): SentEvent[] => lambda.sent.splice(0).map(({ event }) => event);

/** Delivers events one after the other, and those that follow from them, until there is none. */
async function playOn(world: World, events: SentEvent[] = sent(), remainingMs?: number) {
  let steps = 0;
  for (const queue = [...events]; queue.length > 0; queue.push(...sent())) {
    await world.backfill(queue.shift()!, remainingMs);
    assert.ok(++steps < 100, 'the chain ends');
  }
  return steps;
}

const backfillOf = async (world: World) => (await world.control({ action: 'status' })).backfills[0]!;
const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();

test('A detached backfill copies window after window, each in a run of its own, and its state says how far it is.', async () => {
  await using world = await worldOf(50);
  const range = { since: at(0), until: at(50), windowSeconds: 20 * 60 };
  const started = await world.backfill({ ...range, detach: true, startedBy: 'somebody' });
  const { backfillId: id = '' } = started;
  assert.partialDeepStrictEqual(started, { status: 'started', job: 'models' });
  const [first] = lambda.sent;
  assert.deepEqual(first, {
    functionName: 'solotick-test-backfill',
    event: { kind: 'continue', backfillId: id, step: 0 },
  });
  const begun = await backfillOf(world);
  assert.partialDeepStrictEqual(begun, {
    id,
    status: 'running',
    windows: 3,
    window: 0,
    done: 0,
    startedBy: 'somebody',
  });
  assert.equal(await playOn(world), 3);
  const ended = await backfillOf(world);
  assert.partialDeepStrictEqual(ended, {
    status: 'completed',
    window: 3,
    shards: 1,
    shardsDone: 1,
    done: 1,
    attempts: 0,
  });
  assert.partialDeepStrictEqual(ended.counts, { read: 50, written: 50 });
  assert.equal(world.target.writes.length, 50);
});
