import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { SourceError } from '../../lib/errors.ts';
import type { List, Page, TargetJob } from '../../lib/job-types.ts';
import { job } from '../support/job.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

type Model = ReturnType<typeof model>;

const version = (id: number, name: string, minute = 0) => ({ ...model(id, minute), name });

/** A source whose pages are read one after the other, each by its number. */
function listOf(pages: Model[][]): List {
  async function* list({ cursor }: { cursor: string | null }): AsyncGenerator<Page> {
    for (let number = Number(cursor ?? 0); number < pages.length; number++) {
      yield { records: pages[number]!, cursor: number + 1 < pages.length ? `${number + 1}` : null };
    }
  }
  return Object.assign(list, { style: 'numbered' });
}

/** A world with these pages whose records are written one at a time, and the keys of the accepted writes, without the pass. */
async function worldOf(
  pages: Model[][],
  more: { timed?: boolean; writes?: TargetJob<Model>; deleted?: (record: Model) => boolean } = {},
) {
  const world = await startWorld({
    ...{ endpoints: etcd.endpoints, records: [], list: listOf(pages), env: { CONCURRENCY: '1' } },
    job: { ...(!more.timed && { updatedAt: undefined as never }), ...(more.deleted && { deleted: more.deleted }) },
    ...(more.writes && { writes: more.writes }),
  });
  return {
    world,
    keysOf: (id: number, pass: string) =>
      world.target.writes
        .filter((write) => write.id === model(id).id)
        .map(({ idempotencyKey }) => decodeURIComponent(idempotencyKey))
        .map((key) => key.replace(`${pass}:${model(id).id}:`, '')),
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

/** The numbers at the end of keys whose contents are A, B and so on, as they come. */
function told(keys: string[]) {
  const contents = [...new Set(keys.map((key) => key.split(':')[0]))];
  return keys.map((key) => {
    const [content, ...rest] = key.split(':');
    return ['ABCD'[contents.indexOf(content)], ...rest].join(':');
  });
}

test('A record that goes A, B, A within a pass has three keys, by how often it has changed and by its time.', async () => {
  const pages = [[version(1, 'A', 1)], [version(1, 'B', 2)], [version(1, 'A', 3), version(2, 'A')]];
  const times = [1, 2, 3].map((minute) => Date.parse(model(1, minute).updatedAt));
  await using timed = await worldOf(pages, { timed: true });
  const { runId } = await timed.world.tick();
  assert.deepEqual(told(timed.keysOf(1, runId)), [`A:${times[0]}`, `B:${times[1]}:1`, `C:${times[2]}:2`]);
  const alike = pages.map((page) => page.map((record) => ({ ...record, updatedAt: model(0).updatedAt })));
  await using untimed = await worldOf(alike);
  const pass = (await untimed.world.tick()).runId;
  assert.deepEqual(told(untimed.keysOf(1, pass)), ['A', 'B:1', 'A:2']);
  assert.deepEqual(told(untimed.keysOf(2, pass)), ['A']);
});

test('A record that is removed, comes back and is removed again within a pass has another key for each.', async () => {
  const remove = (id: string) => ({ method: 'DELETE', path: `/v1/regions/eu/models/${id}` }) as const;
  const { write } = job.target as TargetJob<Model>;
  const deleted = ({ name }: Model) => name === 'gone';
  const pages = ['A', 'gone', 'A', 'gone'].map((name, index) => [version(1, name, index)]);
  for (const timed of [true, false]) {
    await using at = await worldOf(pages, { timed, writes: { write: write!, remove }, deleted });
    const { report } = await at.world.tick();
    assert.deepEqual([report.written, report.removed], [2, 2]);
    const { writes, removals } = at.world.target;
    assert.equal(
      new Set([...writes, ...removals].map(({ idempotencyKey }) => idempotencyKey)).size,
      4,
      `timed: ${timed}`,
    );
  }
});

test('A pass that had to begin again writes a record once more that has become again what it was in an earlier run of it.', async () => {
  let run = 0;
  async function* list({ cursor }: { cursor: string | null }): AsyncGenerator<Page> {
    if (cursor !== null && run === 1) throw new SourceError('the cursor is gone', { cursorRefused: true });
    yield { records: [version(1, run === 1 ? 'B' : 'A')], cursor: run === 2 ? null : '1' };
    if (run < 2) throw new SourceError('the source is down');
  }
  await using world = await startWorld({
    ...{ endpoints: etcd.endpoints, records: [], list: Object.assign(list, { style: 'numbered' }) },
    job: { updatedAt: undefined as never },
  });
  for (; run < 2; run++) await assert.rejects(world.tick(), /the source is down/);
  await world.tick();
  const keys = world.target.writes.map(({ idempotencyKey }) => idempotencyKey);
  assert.deepEqual([keys.length, new Set(keys).size], [3, 3]);
});

test('The next pass has keys of its own.', async () => {
  await using at = await worldOf([[version(1, 'A')]]);
  const passes = [await at.world.tick(), await at.world.tick()];
  const keys = at.world.target.writes.map(({ idempotencyKey }) => idempotencyKey.split('%3A')[0]);
  assert.deepEqual(
    keys,
    passes.map(({ runId }) => runId),
  );
});

for (const kind of ['write', 'push'] as const) {
  test(`A run that goes on with a pass sends the same keys for what it writes again, and goes on counting changes (${kind}).`, async () => {
    const names = [...'AB'].map((name) => [version(1, name)]);
    const pages = [
      ...names,
      [version(2, 'A'), version(3, 'slow')],
      [version(1, 'A'), version(2, 'B')],
      [version(2, 'A')],
    ];
    const request = ({ id, ...body }: Model) => ({ method: 'PUT', path: `/v1/regions/eu/models/${id}`, body }) as const;
    const writes: TargetJob<Model> =
      kind === 'write'
        ? { write: request }
        : {
            async push(record, { send }) {
              await send(request(record));
            },
          };
    await using at = await worldOf(pages, { writes });
    at.world.target.refuse = (body) => ((body as Model).name === 'slow' ? 503 : undefined);
    at.world.target.retryAfterSeconds = 3600;
    const first = await at.world.backfill();
    assert.deepEqual([first.status, first.reason], ['partial', 'throttled']);
    at.world.target.refuse = undefined;
    const second = await at.world.backfill({ backfillId: first.backfillId });
    assert.deepEqual([second.status, second.report.written], ['completed', 5]);
    assert.deepEqual(told(at.keysOf(1, first.runId)), ['A', 'B:1', 'A:2']);
    assert.deepEqual(told(at.keysOf(2, first.runId)), ['A', 'A', 'B:1', 'A:2']);
    assert.deepEqual(told(at.keysOf(3, first.runId)), ['A']);
    assert.equal(new Set(at.world.target.writes.map(({ idempotencyKey }) => idempotencyKey)).size, 7);
  });
}

test('The status of an unfinished pass leaves its changes out, which are for runs only.', async () => {
  await using at = await worldOf([[version(1, 'A')], [version(1, 'B')], [version(3, 'slow')]]);
  at.world.target.refuse = (body) => ((body as Model).name === 'slow' ? 503 : undefined);
  at.world.target.retryAfterSeconds = 3600;
  assert.equal((await at.world.tick()).status, 'partial');
  const { unfinishedPass } = await at.world.control({ action: 'status' });
  assert.equal(unfinishedPass?.counts.written, 2);
  assert.equal('changes' in unfinishedPass, false);
});

test('A removal has another key than a write of the same body.', async () => {
  const path = (id: string) => `/v1/regions/eu/models/${id}`;
  const writes: TargetJob<Model> = {
    write: ({ id }) => ({ method: 'PUT', path: path(id), body: { id } }),
    remove: (id) => ({ method: 'DELETE', path: path(id), body: { id } }),
  };
  const deleted = ({ name }: Model) => name === 'gone';
  await using opened = await worldOf([[version(1, 'A')], [version(1, 'gone')]], { writes, deleted });
  const { target, tick } = opened.world;
  assert.equal((await tick()).report.removed, 1);
  assert.notEqual(target.removals[0]!.idempotencyKey, target.writes[0]!.idempotencyKey);
});
