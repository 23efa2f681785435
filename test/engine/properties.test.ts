import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { answer } from '../../infra/local/serve.ts';
import { Interrupted } from '../../lib/errors.ts';
import { pipeline, record, servePages, serveTarget, until } from '../support/pipeline.ts';
import { mulberry32 } from '../support/random.ts';

/** Random integers below a bound. The same seed gives the same numbers everywhere, so a seed is a test case. */
function randomFrom(seed: number) {
  const random = mulberry32(seed);
  return (below: number) => Math.floor(random() * below);
}

type Fate = 'written' | 'invalid' | 'refused';

/** A list of records with their intended fates, in pages of varying size; some ids occur repeatedly. */
function randomList(random: (below: number) => number) {
  const list = Array.from({ length: random(250) }, (_, version) => {
    const fate: Fate = random(12) === 0 ? 'invalid' : random(12) === 0 ? 'refused' : 'written';
    const id = `model-${random(5) === 0 ? random(8) : 100 + version}`;
    const sent = record(id, `${fate} ${version}`);
    return { id, fate, version, sent: fate === 'invalid' ? { ...sent, limit: 'none' } : sent };
  });
  const pages: (typeof list)[] = [];
  for (let start = 0; start < list.length || pages.length === 0; ) {
    const size = random(30);
    pages.push(list.slice(start, start + size));
    start += size;
  }
  return pages;
}

/** What the target must hold after these records were written in this order. */
function modelOf(list: ReturnType<typeof randomList>[number]) {
  return new Map(list.filter(({ fate }) => fate === 'written').map(({ id, sent }) => [id, sent.name]));
}

/** Copies a random list through random faults, resuming after each interruption, and compares at every step. */
async function play(seed: number) {
  const random = randomFrom(seed);
  const pages = randomList(random);
  const concurrency = 1 + random(20);
  let untilClosing = 0;
  let sourceFaults = 0;
  let close = () => {};
  await using source = await servePages(
    pages.map((page) => page.map(({ sent }) => sent)),
    (_, response) => {
      const fault = random(15) === 0 ? 'reset' : random(8) === 0 ? 'unavailable' : undefined;
      // Pages are read one after another, so a fault in every attempt would be a source that is down: another test's case.
      sourceFaults = fault && sourceFaults < 4 ? sourceFaults + 1 : 0;
      if (sourceFaults === 0) return;
      if (fault === 'reset') response.destroy();
      else answer(response, 503, {}, { 'retry-after': '0' });
    },
  );
  await using target = await serveTarget(async ({ id, body, attempt }, response) => {
    if (--untilClosing === 0) close();
    if (random(3) === 0) await sleep(random(4));
    if (body.name.startsWith('refused')) return answer(response, 422, {});
    // These faults pass, so the target only looks down.
    if (attempt % 5 === 0 || random(10) > 0) return;
    const fault = random(8);
    if (fault === 0) response.destroy();
    else if (fault > 1) return answer(response, random(2) === 0 ? 429 : 500, {}, { 'retry-after': '0' });
    else {
      target.stored.set(id, body.name);
      await new Promise((resolve) => {
        response.writeHead(200, { 'content-length': 50 }).write('stored, but', resolve);
      });
      response.destroy();
    }
  });

  let cursor: string | null = null;
  for (let runs = 0; ; runs++) {
    assert.ok(runs < 50, 'the list is read to its end some day');
    await using path = await pipeline({ source, target, concurrency, cursor });
    untilClosing = runs < 8 ? 1 + random(120) : 0;
    const cutsAtOnce = random(3) === 0;
    close = () => {
      path.closing.abort(new Interrupted('deadline', 'the reserve is reached'));
      if (cutsAtOnce) path.cut.abort(new Interrupted('deadline', 'half the reserve is used up'));
    };
    const ending = await path.run();
    // The server notices the end of an answer a moment after the client.
    if (!cutsAtOnce) await until(() => target.inFlight === 0);

    const { read, written, invalid, failed, unsettled } = path.counts();
    assert.equal(read, written + invalid + failed + unsettled);
    assert.ok(target.peakInFlight <= concurrency && path.report.peakInFlight <= concurrency);
    const first = Number(cursor ?? 0);
    const prefix = pages.slice(first, first + path.settled.length);
    for (const [index, page] of prefix.entries()) {
      const of = (fate: Fate) => page.filter((record) => record.fate === fate).length;
      const { read, written, invalid, failed } = path.settled[index]!;
      assert.equal(read, page.length);
      assert.deepEqual(
        { written, invalid, failed },
        { written: of('written'), invalid: of('invalid'), failed: of('refused') },
      );
    }
    cursor = path.settled.at(-1)?.cursor ?? cursor;

    // A settled record is at the target, unless a later version in the list has already replaced it.
    const versions = (names: string | undefined) => Number(names?.split(' ')[1] ?? -1);
    for (const [id, name] of modelOf(pages.slice(0, first + path.settled.length).flat())) {
      assert.ok(versions(target.stored.get(id)) >= versions(name), `${id} is not what is settled`);
    }
    if (ending === 'complete') {
      assert.equal(unsettled, 0);
      assert.equal(path.settled.at(-1)?.last, true);
      break;
    }
    assert.equal(ending, 'deadline');
  }
  assert.deepEqual(new Map([...target.stored].sort()), new Map([...modelOf(pages.flat())].sort()));
}

for (let seed = 1; seed <= 24; seed++) {
  test(`Through random faults and interruptions the target ends up with what the source has (seed ${seed}).`, () =>
    play(seed));
}
