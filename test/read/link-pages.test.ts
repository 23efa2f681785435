import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { test } from 'node:test';
import { answer } from '../../infra/local/serve.ts';
import { linkPages } from '../../lib/read/link-pages.ts';
import { openListed, writeEndlessly } from '../support/listed-source.ts';

const list = linkPages({ path: '/items', query: ({ since }) => ({ size: 2, since }) });

/** A source whose pages carry these Link headers, one after the other; `ORIGIN` in them is its own. */
function open(links: (string | string[] | undefined)[], below = '') {
  let page = 0;
  const handle = ({ headers }: IncomingMessage, response: ServerResponse) => {
    const link = links[page];
    if (typeof link === 'string') response.setHeader('link', link.replace('ORIGIN', `http://${headers.host}`));
    else if (link !== undefined) response.setHeader('link', link);
    answer(response, 200, [page++]);
  };
  return openListed(list, handle, { below });
}

const pathsOf = ({ requests }: Awaited<ReturnType<typeof open>>) => requests.map(({ url }) => url);

test('Pages are read along their Link headers until one has no next, with the credentials and the window.', async () => {
  await using source = await open(['</items?page=2>; rel="next"', '</elsewhere/3?a=%2F&b=ü>; rel=next']);
  const pages = await source.readAll(null, { since: '2026-01-01T00:00:00.000Z' });
  assert.deepEqual(pages, [
    { records: [0], cursor: '/items?page=2' },
    { records: [1], cursor: '/elsewhere/3?a=%2F&b=%C3%BC' },
    { records: [2], cursor: null },
  ]);
  assert.deepEqual(pathsOf(source), [
    '/items?size=2&since=2026-01-01T00%3A00%3A00.000Z',
    '/items?page=2',
    '/elsewhere/3?a=%2F&b=%C3%BC',
  ]);
  for (const { headers } of source.requests) assert.match(headers.authorization ?? '', /^Basic /);
});

test('A resumed run begins at the page that its cursor names.', async () => {
  await using source = await open([]);
  assert.deepEqual(await source.readAll('/items?page=7'), [{ records: [0], cursor: null }]);
  assert.deepEqual(pathsOf(source), ['/items?page=7']);
});

test('The records may be a field of the page.', async () => {
  const inField = linkPages({ path: '/items', query: () => ({}), records: 'data' });
  await using source = await openListed(inField, (_, response) => answer(response, 200, { data: [1, 2] }));
  assert.deepEqual(await source.readAll(), [{ records: [1, 2], cursor: null }]);
});

test('A link with characters beyond ASCII is followed correctly, in UTF-8 and in Latin-1.', async () => {
  for (const encoding of ['utf8', 'latin1'] as const) {
    const header = Buffer.from('</items?q=ü&page=2>; rel="next"', encoding).toString('latin1');
    await using source = await open([header]);
    await source.readAll();
    assert.deepEqual(pathsOf(source), ['/items?size=2', '/items?q=%C3%BC&page=2']);
  }
});

test('Links are resolved as RFC 3986 says, and paths go on below the URL of the source.', async () => {
  const followed: Record<string, string> = {
    '?page=2': '/api/items?page=2',
    'more/2': '/api/more/2',
    './../api/x': '/api/x',
    '/api': '/api',
    '/api/?p=2#part': '/api/?p=2',
    'ORIGIN/api/items/3?x': '/api/items/3?x',
    'ORIGIN/api/../api/x': '/api/x',
  };
  for (const [link, path] of Object.entries(followed)) {
    await using source = await open([`<${link}>; rel="next"`], '/api');
    assert.equal((await source.readAll()).length, 2);
    assert.deepEqual(pathsOf(source), ['/api/items?size=2', path]);
  }
});

test('A link that leads out of the source’s URL is an error, and nothing is sent there.', async () => {
  await using elsewhere = await open([]);
  const links = [
    ...[`${elsewhere.url}/api/items`, elsewhere.url.replace('http:', ''), 'https://127.0.0.1/api/items'],
    ...['/items', '/api/../items', '/apis/items', '/api/%2e%2e/items', 'http://[', 'file:///api/items'],
    elsewhere.url.replace('http://', 'http://user:password@'),
  ];
  for (const link of links) {
    await using source = await open([`<${link}>; rel="next"`], '/api');
    const message = /the next page that \/items names is not below the source's URL/;
    await assert.rejects(source.readAll(), { name: 'SourceError', message }, link);
    assert.equal(source.requests.length, 1);
  }
  assert.equal(elsewhere.requests.length, 0);
});

test('The next page is found among other links, however they are written.', async () => {
  const headers: (string | string[])[] = [
    '</first>; rel="first", </next>; rel="next", </last>; rel="last"',
    ['</first>; rel="first"', '</next>; rel="next"'],
    '</next>;rel=next',
    '</next> ; title="a, b; rel=\\"prev\\"" ; REL = "Last NEXT"',
    ', ,</next>;; hreflang=de;rel="next";,',
    '</prev>; title="; rel=next, <x>; rel=next"; rel="prev", </next>; rel="next"; rel="prev"',
    "</next>; rel=next; title*=UTF-8''%e2%82%ac; flag",
    "</prev>; rel='prev', </next>; rel='next'",
  ];
  for (const header of headers) {
    await using source = await open([header]);
    assert.equal((await source.readAll())[0]?.cursor, '/next', String(header));
  }
});

test('Other relations, and parameters that only resemble rel=next, are not followed.', async () => {
  const headers = [
    '</a>; rel="prev"',
    '</a>; rel="nextish"',
    '</a>; title="rel=next"',
    '</a>; rev=next',
    '</a>',
    ' , ',
  ];
  for (const header of headers) {
    await using source = await open([header]);
    assert.deepEqual(await source.readAll(), [{ records: [0], cursor: null }], header);
  }
});

test('A Link header that cannot be parsed to its end is an error, because it may name the rest of the list.', async () => {
  const headers = [
    ...['/next; rel="next"', '</next; rel="next"', '</next>; rel="next', '</next>, rel="next"', '</next> rel="next"'],
    ...['</a>; rel="prev" x', '</a>; "x"', '</next>; rel="next"; anchor="#part"'],
  ];
  for (const header of headers) {
    await using source = await open([header]);
    await assert.rejects(source.readAll(), { name: 'SourceError', message: /Link header/ }, header);
  }
});

test('Links that lead in a circle end in an error.', async () => {
  const handle = ({ url = '' }, response: ServerResponse) => {
    const page = Number(/page=(\d)/.exec(url)?.[1] ?? 0);
    answer(response, 200, [], { link: `</items?page=${page === 3 ? 1 : page + 1}>; rel="next"` });
  };
  await using source = await openListed(list, handle);
  await assert.rejects(source.readAll(), { name: 'SourceError', message: /a cursor that it had given before/ });
  assert.ok(source.requests.length < 20);
});

test('A page that is not a list is an error that quotes nothing of it.', async () => {
  for (const body of [{ secret: 1 }, 'secret', null]) {
    await using source = await openListed(list, (_, response) => answer(response, 200, body));
    await assert.rejects(source.readAll(), { name: 'SourceError', message: 'the page at /items is no array' });
  }
});

test('A page of two gigabytes is given up at the bound.', async () => {
  let written = { bytes: 0 };
  await using source = await openListed(list, (_, response) => {
    response.setHeader('content-length', 2 ** 31);
    written = writeEndlessly(response, () => `[${' '.repeat(65_535)}`);
  });
  const message = 'GET /items?size=2 at the source: the answer is larger than 33554432 bytes';
  await assert.rejects(source.readAll(), { name: 'SourceError', message });
  assert.ok(written.bytes < 2 ** 30, `${written.bytes} bytes`);
  assert.equal(source.requests.length, 1);
});

test('A page may nest a hundred levels; deeper ones would cost more memory than there is and are an error.', async () => {
  const nested = (levels: number) => `${'['.repeat(levels)}"]}\\\\"${']'.repeat(levels)}`;
  let body = nested(100);
  await using source = await openListed(list, (_, response) => {
    response.end(body);
  });
  assert.equal((await source.readAll()).length, 1);
  for (body of [nested(101), '[{"a":'.repeat(5_000_000), `["[[",${nested(100)}]`]) {
    const message = 'GET /items?size=2 at the source: the JSON nests deeper than 100 levels';
    await assert.rejects(source.readAll(), { name: 'SourceError', message });
  }
  body = `[${JSON.stringify(`\\"${'['.repeat(500)}`)},"\\\\"]`;
  assert.equal((await source.readAll())[0]?.records.length, 2);
});
