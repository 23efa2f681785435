import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { startQueue } from '../../infra/local/queue.ts';
import { drawKind, idOf } from '../support/kinds-of-job.ts';
import { mulberry32 } from '../support/random.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

type Model = ReturnType<typeof model>;
const MOODS = ['well', 'well', 'flaky', 'down', 'stopped'] as const;
/** The only errors that a tick may throw while the target is down or the run is stopped. */
const EXPECTED = ['TargetDownError', 'NoProgressError'];

/** Draws a kind of job, and runs its ticks while the source changes and the target's mood varies, then compares both sides. */
async function play(t: TestContext, seed: number) {
  const random = mulberry32(seed);
  const below = (bound: number) => Math.floor(random() * bound);
  const withQueue = below(3) > 0;
  await using queue = await startQueue();
  const kind = drawKind(random, seed, 5 + below(40));
  t.diagnostic(JSON.stringify(kind));
  let version = 0;
  /** The name decides a record's fate: without a name it is invalid, and the target refuses a poisoned one. */
  const change = (index: number) => {
    const fate = below(12);
    const name = fate === 0 ? '' : `${fate === 1 ? 'poison' : 'fine'} ${++version}`;
    return { ...model(index), id: idOf(kind, index), name, updatedAt: new Date().toISOString() };
  };
  const records = Array.from({ length: 40 + below(160) }, (_, index) => change(index));
  await using world = await startWorld({
    endpoints: etcd.endpoints,
    records,
    kind,
    env: {
      ...{ CONCURRENCY: `${1 + below(20)}`, FAILURES_BEFORE_STOP: '10', WATERMARK_OVERLAP_SECONDS: '1' },
      ...(withQueue && { DEAD_LETTER_QUEUE_URL: queue.url }),
    },
  });
  const { source, target } = world;
  target.retryAfterSeconds = 0;
  const poisoned = (body: unknown) => ((body as Model).name.startsWith('poison') ? 422 : undefined);

  for (let tick = 0; tick < 10; tick++) {
    const mood = MOODS[below(MOODS.length)];
    const stop = new AbortController();
    let untilStop = mood === 'stopped' ? below(records.length) : -1;
    target.refuse = (body) => {
      if (untilStop-- === 0) stop.abort();
      if (below(20) === 0) {
        const index = below(records.length);
        source.records[index] = change(index);
      }
      if (mood === 'down') return 500;
      if (mood === 'flaky' && below(4) === 0) return below(2) === 0 ? 503 : 500;
      return poisoned(body);
    };
    const outcome = await world.tick({}, 60_000, stop.signal).catch((error: Error) => error);
    if (outcome instanceof Error) assert.ok(EXPECTED.includes(outcome.name), String(outcome));
    else {
      const { read, written, unchanged, invalid, failed, unsettled } = outcome.report;
      assert.equal(read, written + unchanged + invalid + failed + unsettled);
    }
  }
  target.refuse = poisoned;
  for (let tick = 0; tick < 3; tick++) assert.equal((await world.tick()).status, 'completed');

  const { failed } = await world.control({ action: 'status' });
  const listed = new Set(failed.map(({ id }) => id));
  const letters: { id: string; kind: string; record?: Model }[] = queue.messages.map((text) => JSON.parse(text));
  for (const { id: ofSource, ...body } of source.records as ReturnType<typeof change>[]) {
    const id = String(ofSource);
    if (body.name.startsWith('fine')) assert.deepEqual(target.models.get(id), body, `${id} is not at the target`);
    else if (body.name.startsWith('poison')) {
      const dead = letters.some((letter) => letter.id === id && letter.kind === 'failed');
      assert.ok(listed.has(id) || dead, `${id} was refused, and nobody knows`);
    } else if (withQueue) {
      const dead = letters.filter((letter) => letter.id === id && letter.record?.updatedAt === body.updatedAt);
      assert.equal(dead.length, 1, `${id} is invalid, and was dead-lettered ${dead.length} times`);
    }
  }
}

for (let seed = 1; seed <= 12; seed++) {
  test(`Whatever happens to source, target and ticks, each record is written, listed or dead-lettered (seed ${seed}).`, (t) =>
    play(t, seed));
}
