import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { inspect } from 'node:util';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { startQueue } from '../../infra/local/queue.ts';
import { answer, serve } from '../../infra/local/serve.ts';
import { apiKey } from '../../lib/http/auth.ts';
import { urlPages } from '../../lib/read/url-pages.ts';
import { model, startWorld } from '../support/world.ts';

// A key in a parameter is seen by everybody who sees a URL: no log line, result, state or dead letter may have one.

const KEY = 'hunter2 +/=&?';
const SHOWN = /hunter2/;

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

/** Source and target repeat the URL that they are asked for, in errors and as the next page. */
async function open(statusOf: (path: string) => number) {
  await using stack = new AsyncDisposableStack();
  const queue = stack.use(await startQueue());
  const state = { statusOf, pages: 0, urls: [] as string[] };
  const echo = stack.use(
    await serve(({ url = '', headers, method }, response) => {
      state.urls.push(url);
      const status = state.statusOf(`${method} ${url}`);
      if (status !== 200 || method === 'PUT') return answer(response, status, { url, key: KEY, from: headers.host });
      const next = ++state.pages < 3 ? `http://${headers.host}${url}&page=${state.pages}` : null;
      const records = [model(state.pages), { ...model(10 + state.pages), name: '' }];
      return answer(response, 200, { records, next });
    }),
  );
  const world = stack.use(
    await startWorld({
      endpoints: etcd.endpoints,
      records: [],
      env: { SOURCE_URL: echo.url, TARGET_URL: echo.url, DEAD_LETTER_QUEUE_URL: queue.url },
      job: { source: { auth: () => apiKey({ query: 'key', value: KEY }) } as never },
      list: urlPages({ path: '/items?all=1', records: 'records', next: 'next' }),
      writes: {
        auth: () => apiKey({ query: 'key', value: KEY }),
        write: ({ id, ...body }) => ({ method: 'PUT', path: `/items/${id}`, body }),
      },
    }),
  );
  const owned = stack.move();
  return { world, state, queue, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Everything that leaves the run but its requests. */
async function everythingOf({ world, queue }: Awaited<ReturnType<typeof open>>, outcome: unknown) {
  const state = await etcd.etcdctl(['get', world.prefix, '--prefix']);
  const status = await world.control({ action: 'status' });
  return inspect([outcome, world.lines, world.emf, queue.messages, state, status], { depth: 20 });
}

test('A key in a parameter is in every request, and in nothing else that a run leaves.', async () => {
  await using opened = await open((path) => (path.includes('model-00002') ? 422 : 200));
  const result = await opened.world.tick();
  assert.partialDeepStrictEqual(result.report, { read: 6, written: 2, failed: 1, invalid: 3 });
  assert.ok(opened.state.urls.every((url) => new URL(url, 'http://x').searchParams.getAll('key').join() === KEY));
  assert.match(
    result.problems?.find(({ kind }) => kind === 'failed')?.reason ?? '',
    /^the target answered 422: {"url":"\/items\/…\?key=…","key":"…"/,
  );
  assert.equal(opened.queue.messages.length, 3);
  assert.doesNotMatch(await everythingOf(opened, result), SHOWN);
});

test('Nor is it where a run fails half-way, at the source or for good at the target.', async () => {
  for (const fails of ['GET /items?all=1&page=1', 'PUT ']) {
    await using opened = await open((path) => (path.startsWith(fails) ? 403 : 200));
    const outcome = await opened.world.tick().catch((error: Error) => error);
    assert.doesNotMatch(await everythingOf(opened, outcome), SHOWN);
  }
});
