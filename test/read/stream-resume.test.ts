import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { serve } from '../../infra/local/serve.ts';
import { streamPages } from '../../lib/read/stream-pages.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const lines = Array.from({ length: 2000 }, (_, index) => `${JSON.stringify(model(index))}\n`);
const list = streamPages({ path: '/export', query: () => ({}), format: 'ndjson' });

/** The shipped job with a source that streams these lines. */
async function startStream(stream: (response: ServerResponse, attempt: number) => void) {
  await using stack = new AsyncDisposableStack();
  let attempts = 0;
  const server = stack.use(await serve((_, response) => stream(response, ++attempts)));
  const env = { SOURCE_URL: server.url, DEADLINE_RESERVE_SECONDS: '10' };
  const world = stack.use(await startWorld({ endpoints: etcd.endpoints, records: [], env, list }));
  const owned = stack.move();
  const startedOver = () => world.lines.some(({ message }) => /no longer takes the saved cursor/.test(message));
  /** A tick that is stopped while it writes the third page. */
  async function tickOfTwoPages() {
    const stop = new AbortController();
    let writes = 0;
    world.target.refuse = () => {
      if (++writes === 1200) stop.abort();
      return undefined;
    };
    const result = await world.tick({}, 60_000, stop.signal);
    assert.equal(result.status, 'partial');
    assert.equal(result.pass?.read, 1000);
  }
  return { ...world, startedOver, tickOfTwoPages, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test('A run resumes a stream with the same ETag behind the settled pages.', async () => {
  await using world = await startStream((response) => response.setHeader('etag', '"1"').end(lines.join('')));
  await world.tickOfTwoPages();
  const second = await world.tick();
  assert.equal(second.status, 'completed');
  assert.equal(second.report.read, 1000);
  assert.equal(second.pass?.written, 2000);
  assert.equal(world.target.models.size, 2000);
  assert.ok(!world.startedOver());
});

test('A stream of another ETag, or of none, starts the same window over, and that is logged.', async () => {
  for (const etags of [['"1"', '"2"'], []]) {
    await using world = await startStream((response, attempt) => {
      const etag = etags[attempt - 1] ?? etags.at(-1);
      if (etag !== undefined) response.setHeader('etag', etag);
      response.end(lines.join(''));
    });
    await world.tickOfTwoPages();
    const second = await world.tick();
    assert.equal(second.status, 'completed');
    assert.equal(second.report.read, 2000);
    assert.equal(second.pass?.read, 2000);
    assert.ok(world.startedOver());
  }
});

test('A stream that breaks off ends the run with an error, and what was settled stays.', async () => {
  await using world = await startStream((response, attempt) => {
    response.setHeader('etag', '"1"');
    if (attempt > 1) response.end(lines.join(''));
    else response.write(lines.slice(0, 1500).join(''), () => response.destroy());
  });
  await assert.rejects(world.tick(), {
    name: 'SourceError',
    message: /^GET \/export at the source: the answer broke off/,
  });
  const { unfinishedPass, heldBy } = await world.control({ action: 'status' });
  assert.equal(heldBy, undefined);
  const settled = unfinishedPass?.counts.read ?? 0;
  assert.ok(settled >= 500 && settled <= 1500);

  const second = await world.tick();
  assert.equal(second.status, 'completed');
  assert.equal(second.report.read, 2000 - settled);
  assert.equal(world.target.models.size, 2000);
});
