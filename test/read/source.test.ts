import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { test } from 'node:test';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { answer, serve } from '../../infra/local/serve.ts';
import { userAgent } from '../../lib/http/user-agent.ts';
import type { Page } from '../../lib/job-types.ts';
import { cursorPages } from '../../lib/read/cursor-pages.ts';
import { openSource } from '../../lib/read/source.ts';
import { openCredentials } from '../../lib/settings/secrets.ts';
import { job } from '../support/job.ts';
import { openListed } from '../support/listed-source.ts';
import { secretStoreOf } from '../support/pipeline.ts';

/** The shipped job's source behind a server that answers with `handle`. */
async function open(handle: (request: IncomingMessage, response: ServerResponse) => Promise<void> | void) {
  await using stack = new AsyncDisposableStack();
  const requests: string[] = [];
  const server = stack.use(
    await serve((request, response) => {
      requests.push(request.url ?? '');
      return handle(request, response);
    }),
  );
  const { signal } = new AbortController();
  const credentials = await openCredentials(secretStoreOf(1), signal);
  const guard = { check() {}, closing: signal, closesInMs: () => 60_000, signal };
  const shared = { timeoutMs: 60_000, credentials, guard, agent: { service: 'shop', job: job.name } };
  const source = stack.use(openSource(job.source, { url: server.url, ...shared }));
  const owned = stack.move();
  return {
    ...{ source, requests },
    /** Reads the list to its end, at most a thousand pages. */
    async readAll(window: Parameters<typeof source.pages>[0] = {}, cursor: string | null = null) {
      const pages: Page[] = [];
      for await (const page of source.pages(window, cursor)) {
        pages.push(page);
        if (pages.length > 1000) throw new Error('the list does not end');
      }
      return pages;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const cursorOf = (request: IncomingMessage) => new URL(request.url ?? '', 'http://source').searchParams.get('cursor');

test('Pages come one by one as they are asked for, until a cursor is null, with Basic auth and the window.', async () => {
  let authorization: string | undefined;
  await using server = await open((request, response) => {
    authorization = request.headers.authorization;
    const next: Record<string, string | null> = { begin: 'a b&c=ü/%', 'a b&c=ü/%': 'end', end: null };
    answer(response, 200, { models: [cursorOf(request)], nextCursor: next[cursorOf(request) ?? 'begin'] });
  });
  const window = { since: '2026-01-01T00:00:00.000Z', until: '2026-02-01T00:00:00.000Z' };
  assert.deepEqual(await server.readAll(window), [
    { records: [null], cursor: 'a b&c=ü/%' },
    { records: ['a b&c=ü/%'], cursor: 'end' },
    { records: ['end'], cursor: null },
  ]);
  assert.equal(authorization, `Basic ${Buffer.from('reader:password-1').toString('base64')}`);
  assert.equal(
    server.requests[0],
    '/v1/models?limit=500&updated_since=2026-01-01T00%3A00%3A00.000Z&updated_until=2026-02-01T00%3A00%3A00.000Z',
  );
  assert.equal((await server.readAll({}, 'end')).length, 1);
  const pages = server.source.pages({}, null)[Symbol.asyncIterator]();
  const before = server.requests.length;
  await pages.next();
  assert.equal(server.requests.length, before + 1);
});

test('A path may have a query of its own, to which the window and the cursor are added.', async () => {
  const list = cursorPages({
    path: '/items?type=a',
    query: ({ since }) => ({ since }),
    records: 'items',
    next: 'next',
  });
  await using source = await openListed(list, (request, response) => {
    answer(response, 200, { items: [], next: cursorOf(request) === null ? 'b' : null });
  });
  assert.equal((await source.readAll(null, { since: '2026-01-01T00:00:00.000Z' })).length, 2);
  assert.deepEqual(
    source.requests.map(({ url }) => url),
    ['', '&cursor=b'].map((cursor) => `/items?type=a&since=2026-01-01T00%3A00%3A00.000Z${cursor}`),
  );
});

test('A page may be empty, and begin with a byte order mark.', async () => {
  await using server = await open((_, response) => {
    response.end('\ufeff{"models":[],"nextCursor":null}');
  });
  assert.deepEqual(await server.readAll(), [{ records: [], cursor: null }]);
});

const secretWord = 'hunter2';
const garbled: Record<string, [body: string | Buffer, message: RegExp]> = {
  'an HTML page': [
    `<!doctype html><p>${secretWord}</p>`,
    /GET \/v1\/models\?limit=500 .* \d+ bytes that are not JSON in UTF-8, after byte 0 \(content type "text\/html"\)/,
  ],
  'text that is nearly JSON': [`{"models":["${secretWord}"],}`, /not JSON in UTF-8, after byte 22 \(/],
  'nothing at all': ['', /0 bytes that are not JSON in UTF-8 \(/],
  'half a page': [`{"models":["${secretWord}"`, /not JSON in UTF-8, after byte 11 \(/],
  'invalid UTF-8': [
    Buffer.from(`{"models":["${secretWord}\xff"],"nextCursor":null}`, 'latin1'),
    /not JSON in UTF-8, after byte 10 \(/,
  ],
};
for (const [what, [body, message]] of Object.entries(garbled)) {
  test(`A source that answers with ${what} once is asked again; the fifth time it is a SourceError that quotes nothing.`, async () => {
    let times = 1;
    await using server = await open((_, response) => {
      if (times-- > 0) response.writeHead(200, { 'content-type': 'text/html' }).end(body);
      else answer(response, 200, { models: [1], nextCursor: null });
    });
    assert.deepEqual(await server.readAll(), [{ records: [1], cursor: null }]);
    assert.equal(server.requests.length, 2);
    times = 5;
    await assert.rejects(server.readAll(), (error: Error) => {
      assert.equal(error.name, 'SourceError');
      assert.match(error.message, message);
      assert.ok(!`${error.stack}${error.cause}`.includes(secretWord));
      return true;
    });
    assert.equal(server.requests.length, 7);
  });
}

test('A content type of any length and any characters is cut and quoted in the error.', async () => {
  await using server = await open((_, response) => {
    response.writeHead(200, { 'content-type': `text/"\xff\t${'x'.repeat(5000)}` }).end('no JSON');
  });
  await assert.rejects(server.readAll(), ({ message }: Error) => {
    assert.match(message, /content type "text\/\\"ÿ\\tx+"\)$/);
    return message.length < 300;
  });
});

for (const status of [204, 304]) {
  test(`A ${status} means no records and the end of the list, at the first page and at a later one.`, async () => {
    await using server = await open((request, response) => {
      if (cursorOf(request) === null) answer(response, 200, { models: [1], nextCursor: 'b' });
      else response.writeHead(status).end();
    });
    const end = { records: [], cursor: null };
    assert.deepEqual(await server.readAll(), [{ records: [1], cursor: 'b' }, end]);
    assert.deepEqual(await server.readAll({}, 'b'), [end]);
    assert.equal(server.requests.length, 3);
  });

  test(`A ${status} for a single record is a SourceError with the status: it says neither that there is one nor that there is none.`, async () => {
    await using server = await open((_, response) => void response.writeHead(status).end());
    await assert.rejects(server.source.one('a'), { name: 'SourceError', status });
  });
}

test('A request says what it takes and who sends it.', async () => {
  let headers: IncomingMessage['headers'] = {};
  await using server = await open((request, response) => {
    headers = request.headers;
    answer(response, 200, { models: [], nextCursor: null });
  });
  await server.readAll();
  assert.equal(headers.accept, 'application/json');
  assert.equal(headers['accept-encoding'], 'gzip, br, deflate');
  assert.equal(headers['user-agent'], userAgent({ service: 'shop', job: 'models' }));
});

const packed: Record<string, [coding: string, pack: (body: string) => Buffer]> = {
  gzip: ['gzip', gzipSync],
  'gzip by its old name': ['X-GZip ', gzipSync],
  Brotli: ['br', brotliCompressSync],
  deflate: ['deflate', deflateSync],
  'deflate without a frame': ['deflate', deflateRawSync],
  nothing: ['identity', Buffer.from],
};
for (const [what, [coding, pack]] of Object.entries(packed)) {
  test(`A page packed with ${what} is unpacked; its bound counts then; a cut one is read again.`, async () => {
    let body = pack('{"models":["größe"],"nextCursor":null}');
    let cutTimes = 2;
    await using server = await open((_, response) => {
      response.writeHead(200, { 'content-encoding': coding });
      response.end(cutTimes-- > 0 ? body.subarray(0, -5) : body);
    });
    assert.deepEqual(await server.readAll(), [{ records: ['größe'], cursor: null }]);
    assert.equal(server.requests.length, 3);
    body = pack(`"${'x'.repeat(40_000_000)}"`);
    const message = /at the source: the answer is larger than 33554432 bytes/;
    await assert.rejects(server.readAll(), { name: 'SourceError', message });
    assert.equal(server.requests.length, 4);
  });
}

test('A page that is not packed as it says, or not as we know it, is a SourceError after five attempts.', async () => {
  for (const coding of ['gzip', 'br', 'deflate', 'zstd', '__proto__', 'gzip, br']) {
    await using server = await open((_, response) => {
      response.writeHead(200, { 'content-encoding': coding }).end(`packed ${secretWord}`);
    });
    await assert.rejects(server.readAll(), (error: Error) => {
      assert.equal(error.name, 'SourceError');
      assert.ok(!`${error.stack}${error.cause}`.includes(secretWord));
      return true;
    });
    assert.equal(server.requests.length, 5);
  }
});

test('A source that throttles for longer than the run has ends it as throttled, by the list and by a record.', async () => {
  const headers: Record<string, string>[] = [
    { 'retry-after': '61' },
    { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '61' },
    { ratelimit: '"a";r=0;t=61' },
  ];
  for (const status of [403, 429, 503]) {
    for (const each of headers) {
      const throttling = () => open((_, response) => answer(response, status, {}, each));
      const expected = { name: 'Interrupted', reason: 'throttled', message: 'the source asks for a pause of 61 s' };
      await using listing = await throttling();
      await assert.rejects(listing.readAll(), expected);
      await using single = await throttling();
      await assert.rejects(single.source.one('a'), expected);
      assert.deepEqual([listing.requests.length, single.requests.length], [1, 1]);
    }
  }
});

const wrongPages: Record<string, [body: string | Buffer, message: RegExp]> = {
  'JSON that is no object': [`"${secretWord}"`, /the page at \/v1\/models has no array "models"/],
  null: ['null', /has no array "models"/],
  'a bare list': [`["${secretWord}"]`, /has no array "models"/],
  'records that are no list': [`{"models":{"0":"${secretWord}"},"nextCursor":null}`, /has no array "models"/],
  'a cursor that is an object': [
    `{"models":[],"nextCursor":{"at":"${secretWord}"}}`,
    /has a cursor that is neither text nor a number/,
  ],
  'more bytes than a page may have': [
    `{"models":["${secretWord.repeat(5_000_000)}"],"nextCursor":null}`,
    /GET \/v1\/models\?limit=500 at the source: the answer is larger than 33554432 bytes/,
  ],
};
for (const [what, [body, message]] of Object.entries(wrongPages)) {
  test(`A source that answers with ${what} is a SourceError that says so and quotes nothing.`, async () => {
    await using server = await open((_, response) => {
      response.end(body);
    });
    await assert.rejects(server.readAll(), (error: Error) => {
      assert.equal(error.name, 'SourceError');
      assert.match(error.message, message);
      assert.ok(!`${error.stack}${error.cause}`.includes(secretWord));
      return true;
    });
    assert.equal(server.requests.length, 1);
  });
}

test('A source that refuses, or has no such page, is a SourceError with the status.', async () => {
  for (const status of [301, 400, 403, 404, 410]) {
    await using server = await open((_, response) => answer(response, status, { message: 'no' }));
    const message = `GET /v1/models?limit=500 at the source was answered with ${status}: {"message":"no"}`;
    await assert.rejects(server.readAll(), { name: 'SourceError', message, status });
    assert.equal(server.requests.length, 1);
  }
});

test('A page that breaks off is read again, and the list goes on.', async () => {
  await using server = await open((request, response) => {
    const page = JSON.stringify({ models: [cursorOf(request)], nextCursor: cursorOf(request) === null ? 'b' : null });
    if (server.requests.length % 2 === 1) response.writeHead(200).write(page.slice(0, 9), () => response.destroy());
    else response.end(page);
  });
  assert.deepEqual(
    (await server.readAll()).map(({ records }) => records),
    [[null], ['b']],
  );
  assert.equal(server.requests.length, 4);
});

for (const length of [1, 2, 3, 7]) {
  test(`A list whose cursors repeat after ${length} ends in a SourceError.`, async () => {
    await using server = await open((request, response) => {
      // Two pages come before the circle.
      const at = Number(cursorOf(request) ?? 0);
      answer(response, 200, { models: [], nextCursor: String(at === length + 1 ? 2 : at + 1) });
    });
    await assert.rejects(server.readAll(), { name: 'SourceError', message: /a cursor that it had given before/ });
    assert.ok(server.requests.length < 8 * (length + 2), `${server.requests.length} requests`);
  });
}

test('Many different cursors are no circle.', async () => {
  await using server = await open((request, response) => {
    const at = Number(cursorOf(request) ?? 0);
    answer(response, 200, { models: [], nextCursor: at < 300 ? String(at + 1) : null });
  });
  assert.equal((await server.readAll()).length, 301);
});

test('JSON that nests deeper than a hundred levels is refused; brackets within text are text.', async () => {
  const nested = (levels: number) => `${'[{"a":'.repeat(levels / 2)}0${'}]'.repeat(levels / 2)}`;
  const page = (record: string) => `{"models":[${record}],"nextCursor":null}`;
  let body = '';
  await using server = await open((_, response) => {
    response.end(body);
  });
  // The page itself takes two levels.
  for (body of [page(nested(98)), page(JSON.stringify(`"\\"${'['.repeat(500)}`))]) {
    assert.equal((await server.readAll())[0]?.records.length, 1);
  }
  for (body of [page(nested(100)), '['.repeat(50_000)]) {
    await assert.rejects(server.readAll(), { name: 'SourceError', message: /nests deeper than 100 levels/ });
  }
});

test('One record is read by its id, whatever characters the id has; a missing record is undefined.', async () => {
  const ids = ['a/b', 'ü', 'a b', '%2F', '..x', '😀', '?', '#', '\\', 'a+b', "it's"];
  await using server = await open((request, response) => {
    const id = decodeURIComponent(/^\/v1\/models\/([^/?#]*)$/.exec(request.url ?? '')?.[1] ?? '');
    if (ids.includes(id)) answer(response, 200, { id });
    else answer(response, 404, {});
  });
  for (const id of ids) assert.deepEqual(await server.source.one(id), { id });
  assert.equal(await server.source.one('none'), undefined);
});
