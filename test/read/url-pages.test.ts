import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer, bodyOf } from '../../infra/local/serve.ts';
import { apiKey } from '../../lib/http/auth.ts';
import { urlPages } from '../../lib/read/url-pages.ts';
import { openListed } from '../support/listed-source.ts';

const odata = urlPages({ path: '/Products', query: () => ({ $top: 2 }), records: 'value', next: '@odata.nextLink' });

/** A source whose pages name these URLs; `ORIGIN` is its own. */
async function open(
  links: unknown[],
  options: { below?: string; job?: { auth: () => ReturnType<typeof apiKey> } } = {},
) {
  let page = 0;
  const handle: Parameters<typeof openListed>[1] = ({ headers }, response) => {
    const link = links[page];
    const text = typeof link === 'string' ? link.replace('ORIGIN', `http://${headers.host}`) : link;
    answer(response, 200, { value: [page++], ...(text !== undefined && { '@odata.nextLink': text }) });
  };
  const source = await openListed(odata, handle, options);
  return { ...source, urls: () => source.requests.map(({ url }) => url) };
}

test('Pages are read along the URLs in their bodies, absolute or relative, until one has none.', async () => {
  await using source = await open(['ORIGIN/api/Products?$skip=2', 'Products?$skip=4', '/api/Products?$skip=6'], {
    below: '/api',
  });
  const pages = await source.readAll();
  assert.deepEqual(
    pages.map(({ cursor }) => cursor),
    ['/Products?$skip=2', '/Products?$skip=4', '/Products?$skip=6', null],
  );
  assert.deepEqual(source.urls(), ['/api/Products?%24top=2', ...[2, 4, 6].map((n) => `/api/Products?$skip=${n}`)]);
});

test('A URL that is null, empty, false or missing ends the list.', async () => {
  for (const end of [null, '', false, undefined]) {
    await using source = await open([end]);
    assert.deepEqual(await source.readAll(), [{ records: [0], cursor: null }]);
  }
});

test('A URL that leads out of SOURCE_URL is a SourceError, and so is what is no URL.', async () => {
  for (const [link, message] of [
    ['http://127.0.0.1:1/api/x', /is not below the source's URL \(http:\/\/127\.0\.0\.1:1\)/],
    ['ORIGIN/other', /is not below the source's URL/],
    ['ORIGIN/api/../other', /is not below the source's URL/],
    ['https://x:y', /is not below the source's URL \(no URL\)/],
    [{ href: '/x' }, /has a next URL that is no text/],
  ] as const) {
    await using source = await open([link], { below: '/api' });
    await assert.rejects(source.readAll(), { name: 'SourceError', message });
    assert.equal(source.requests.length, 1);
  }
});

test('A key in the query is in no cursor, even where the source repeats it, and in every request once.', async () => {
  await using source = await open(['ORIGIN/Products?api%5Fkey=hunter2&page=2&apikey=1', '/Products?api_key=hunter2'], {
    job: { auth: () => apiKey({ query: 'api_key', value: 'hunter2' }) },
  });
  const pages = await source.readAll();
  assert.deepEqual(
    pages.map(({ cursor }) => cursor),
    ['/Products?page=2&apikey=1', '/Products', null],
  );
  assert.deepEqual(source.urls(), [
    '/Products?%24top=2&api_key=hunter2',
    '/Products?page=2&apikey=1&api_key=hunter2',
    '/Products?api_key=hunter2',
  ]);
});

test('A body is sent to each page, by POST.', async () => {
  const bodies: string[] = [];
  const list = urlPages({ path: '/search', records: 'hits', next: 'next', body: ({ since }) => ({ q: '*', since }) });
  await using source = await openListed(list, async (request, response) => {
    bodies.push(`${request.method} ${request.url} ${await bodyOf(request)}`);
    answer(response, 200, { hits: [], next: bodies.length === 1 ? '/search?page=2' : null });
  });
  await source.readAll();
  assert.deepEqual(bodies, ['POST /search {"q":"*"}', 'POST /search?page=2 {"q":"*"}']);
});
