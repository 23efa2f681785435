import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import fc from 'fast-check';
import { HttpError } from '../../lib/errors.ts';
import { createSend } from '../../lib/http/send.ts';
import { instantOf, msOf } from '../../lib/instant.ts';
import type { List, Listing, Page, Query, Request } from '../../lib/job-types.ts';
import { pathBelow } from '../../lib/read/below.ts';
import { checkedPages } from '../../lib/read/checked-pages.ts';
import { numberedPages, offsetPages } from '../../lib/read/counted-pages.ts';
import { cursorPages } from '../../lib/read/cursor-pages.ts';
import { linkPages } from '../../lib/read/link-pages.ts';
import { streamPages } from '../../lib/read/stream-pages.ts';
import { urlPages } from '../../lib/read/url-pages.ts';
import { openListed } from '../support/listed-source.ts';
import { checkError, checkMessage, fuzz, json, like, mostly, text, time, worksOrThrows } from './fuzz.ts';

const ENDLESS = 40;
const baseUrl = 'http://source.example/api';
const query = ({ since }: { since?: string | undefined }): Query => ({ since });

/** Reads the pages that a kind of paging makes of these answers, one after the other, and the last one again and again. */
async function readPages(list: List, cursor: string | null, answers: { body: unknown; headers: object }[]) {
  let asked = 0;
  const paths: string[] = [];
  const getPage = async (request: string | Request) => {
    paths.push(typeof request === 'string' ? request : request.path);
    return answers[Math.min(asked++, answers.length - 1)]! as { body: unknown; headers: Record<string, string> };
  };
  const getStream = (): never => assert.fail('no stream was asked for');
  const below = (link: string, path: string) => pathBelow({ name: 'source', baseUrl }, path, link);
  const listing: Listing = {
    cursor,
    baseUrl,
    below,
    getPage,
    getStream,
    getJson: async (path) => (await getPage(path)).body,
  };
  await worksOrThrows(['SourceError'], async () => {
    let pages = 0;
    for await (const page of checkedPages(list(listing), 'source')) {
      checkPage(page);
      if (++pages > ENDLESS) return;
    }
  });
  return paths;
}

function checkPage({ records, cursor }: Page) {
  assert.ok(Array.isArray(records));
  assert.ok(cursor === null || (typeof cursor === 'string' && cursor.length <= 65_536));
}

const page = like({ models: mostly(fc.array(json)), nextCursor: mostly(fc.option(text)) });

fuzz(
  'Every body of a page with a cursor is a page or a SourceError.',
  fc.tuple(fc.option(text), fc.array(page, { minLength: 1, maxLength: 5 })),
  async ([cursor, bodies]) => {
    const list = cursorPages({ path: '/models', query, records: 'models', next: 'nextCursor' });
    await readPages(
      list,
      cursor,
      bodies.map((body) => ({ body, headers: {} })),
    );
  },
);

const listed = like({
  data: like({ items: mostly(fc.array(json)), total: mostly(fc.oneof(fc.nat(), text)), more: mostly(fc.boolean()) }),
  next: mostly(
    fc.oneof(fc.option(text), fc.nat(), fc.constantFrom('/items?page=2', '?x', 'http://source.example/api/a', false)),
  ),
});

fuzz(
  'Every body is a page or a SourceError, wherever its records, its cursor, its URL and its total should be.',
  fc.tuple(fc.option(fc.oneof(text, fc.constantFrom('0', '3'))), fc.array(listed, { minLength: 1, maxLength: 5 })),
  async ([cursor, bodies]) => {
    const answers = bodies.map((body) => ({ body, headers: {} }));
    const shape = { path: '/items', query, records: 'data.items' };
    for (const list of [
      cursorPages({ ...shape, next: 'next' }),
      cursorPages({ ...shape, next: 'next', more: 'data.more', body: (after) => ({ after }) }),
      urlPages({ ...shape, next: 'next' }),
      offsetPages({ ...shape, size: 2 }),
      offsetPages({ ...shape, size: 2, total: 'data.total' }),
      numberedPages({ ...shape, size: 2, total: 'data.total' }),
      cursorPages({ ...shape, records: (body) => Object(body).data.items, next: (body) => Object(body).next }),
    ])
      await readPages(list, cursor, answers);
  },
);

/** Pieces of Link headers, well and badly formed. */
const reference = fc.oneof(
  fc.constantFrom(
    '/api/items?page=2',
    '?page=3',
    '//evil.example/api',
    'http://source.example/api/../x',
    'http://[',
    '',
  ),
  fc.webUrl(),
  text.map((part) => part.slice(0, 2000)),
);
const parameter = fc.oneof(
  fc.constantFrom(
    'rel="next"',
    'rel=next',
    'rel="prev next"',
    'rel',
    'rel="',
    "title*=UTF-8''%e2",
    'anchor="#a"',
    'a="\\"',
  ),
  text.map((part) => part.slice(0, 2000)),
);
const link = fc
  .tuple(reference, fc.array(parameter, { maxLength: 4 }), fc.constantFrom('', ' ', ';', '\t'))
  .map(([target, parameters, blank]) => [`<${target}>`, ...parameters].join(`${blank};`));
const links = fc.oneof(
  fc.array(link, { maxLength: 5 }).map((list) => list.join(', ')),
  text,
);

fuzz(
  'Every Link header leads to a page below the source, to the end of the list, or to a SourceError.',
  fc.tuple(links, fc.boolean()),
  async ([header, several]) => {
    // undici gives headers as Latin-1, and a repeated one as a list.
    const given = Buffer.from(header).toString('latin1');
    const headers = { link: several ? [given, given] : given };
    const paths = await readPages(linkPages({ path: '/items', query }), null, [{ body: [], headers }]);
    for (const path of paths) {
      const { origin, pathname } = new URL(baseUrl + path);
      assert.equal(origin, 'http://source.example');
      assert.ok(pathname === '/api' || pathname.startsWith('/api/'), pathname);
    }
  },
  2,
);

/** Pieces of streams: bytes of any kind, and JSON that is whole, cut and nested. */
const piece = fc.oneof(
  json.map((value) => Buffer.from(JSON.stringify(value))),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc
    .constantFrom('[', ']', ',', '\n', '{"id":', '}', '"', '\ufeff', '['.repeat(200), '1e9', 'tru')
    .map((part) => Buffer.from(part)),
);
/** A whole stream in pieces of any length. */
const whole = fc
  .tuple(fc.array(json, { maxLength: 30 }), fc.integer({ min: 1, max: 5000 }), fc.boolean())
  .map(([values, drawn, lines]) => {
    const parts = values.map((value) => JSON.stringify(value));
    const bytes = Buffer.from(lines ? parts.map((part) => `${part}\n`).join('') : `[${parts}]`);
    const size = Math.max(drawn, Math.ceil(bytes.length / 500));
    return Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
      bytes.subarray(at * size, (at + 1) * size),
    );
  });
const chunks = fc.oneof(fc.array(piece, { maxLength: 30 }), whole);

fuzz(
  'Every stream of bytes is records or a SourceError, and no page has more than 500.',
  fc.tuple(
    chunks,
    fc.constantFrom('json-array' as const, 'ndjson' as const),
    fc.option(fc.constantFrom('"1"#2', '#2', 'x')),
  ),
  async ([arriving, format, cursor]) => {
    async function* body() {
      yield* arriving;
    }
    const none = (): never => assert.fail('no page was asked for');
    const getStream = async () => ({ headers: { etag: '"1"' }, body: body(), [Symbol.dispose]() {} });
    const listing: Listing = { cursor, baseUrl, below: none, getPage: none, getJson: none, getStream };
    await worksOrThrows(['SourceError'], async () => {
      for await (const page of checkedPages(streamPages({ path: '/all', query, format })(listing), 'source')) {
        checkPage(page);
        assert.ok(page.records.length <= 500);
      }
    });
  },
  2,
);

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  json.map((value) => Buffer.from(JSON.stringify(value))),
  fc.constantFrom('[', '{"a":', '<html>', '['.repeat(5000), '[]\u2028').map((part) => Buffer.from(part)),
);
/** What Node's server lets into a header. */
const header = fc.oneof(time, links).map((value) =>
  Buffer.from(value.slice(0, 3000))
    .toString('latin1')
    .replace(/[^\t\x20-\x7e\x80-\xff]/g, ''),
);
const answers = fc.record({
  status: fc.constantFrom(200, 200, 200, 201, 301, 400, 404, 410),
  headers: fc.record({ date: header, link: header, etag: header }, { requiredKeys: [] }),
  bytes,
});
let next: { status: number; headers: object; bytes: Uint8Array };
let source: Awaited<ReturnType<typeof openListed>>;
before(async () => {
  source = await openListed(linkPages({ path: '/items', query }), (_, response) => {
    response.writeHead(next.status, { ...next.headers }).end(next.bytes);
  });
});
after(() => source?.[Symbol.asyncDispose]());

fuzz(
  'Every answer of a source, whatever its bytes, status and headers, is a page or a SourceError.',
  answers,
  async (answer) => {
    next = answer;
    await worksOrThrows(['SourceError'], async () => {
      let pages = 0;
      for await (const page of source.source.pages({}, null)) {
        checkPage(page);
        if (++pages > 3) return;
      }
    });
    const { clock } = source.source;
    assert.ok(clock === undefined || /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(clock), clock);
  },
  0.5,
);

fuzz('Every Date header is a time that sorts as text, or none.', time, (header) => {
  const instant = instantOf(header);
  if (instant === undefined) assert.ok(Number.isNaN(msOf(header)));
  else assert.match(instant, /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/);
});

fuzz(
  'Whatever a server says about its limits, a request is answered, or its run ends as throttled or at its deadline.',
  fc.record({
    status: fc.constantFrom(200, 403, 429, 500, 503),
    headers: fc.record(
      {
        ...{ 'retry-after': time, date: time, 'x-ratelimit-remaining': text, 'x-ratelimit-reset': time },
        ...{ ratelimit: text, 'ratelimit-reset': text, 'x-ratelimit-limit': text },
      },
      { requiredKeys: [] },
    ),
  }),
  async (head) => {
    const closing = new AbortController();
    const closed = new HttpError('the run closes', true);
    const send = createSend({
      name: 'target',
      // The run closes with the first answer, so a pause ends at once.
      http: {
        async send() {
          closing.abort(closed);
          return { ...head, body: Buffer.alloc(0) };
        },
      },
      credentials: { current: () => '', renew: async () => '' },
      signer: () => ({ sign: () => ({ headers: {} }) }),
      guard: { check() {}, closing: closing.signal, closesInMs: () => 1000, signal: new AbortController().signal },
    });
    const answer = await send({ method: 'GET', path: '/' }).catch((error: Error) => {
      if (error !== closed) checkError(['Interrupted'], error);
      checkMessage(error.message);
    });
    if (answer) assert.equal(answer.status, head.status);
  },
);
