import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { answer, serve } from '../../infra/local/serve.ts';
import { tryJob } from '../support/try-job.ts';
import aws from './jobs/aws.ts';
import codeHost from './jobs/code-host.ts';
import crm from './jobs/crm.ts';
import keyInQuery from './jobs/key-in-query.ts';
import odata from './jobs/odata.ts';
import offsets from './jobs/offsets.ts';
import shop from './jobs/shop.ts';

// Jobs for what people really connect, written from functions/README.md alone.

const AT = '2026-01-01T00:00:00Z';
const requestsOf = (requests: { method: string; path: string }[]) =>
  requests.map(({ method, path }) => `${method} ${path}`);

test('A job is a file of 40 lines at most, the median of 30.', async () => {
  const folder = join(import.meta.dirname, 'jobs');
  const lines: number[] = [];
  for (const file of await readdir(folder)) {
    lines.push((await readFile(join(folder, file), 'utf8')).trimEnd().split('\n').length);
  }
  lines.sort((a, b) => a - b);
  assert.ok(lines.at(-1)! <= 40 && lines[Math.floor(lines.length / 2)]! <= 30, String(lines));
});

test('A code host: pages by Link, numeric ids, a pause by 403.', async () => {
  const issue = (number: number) => ({ number, title: `Issue ${number}`, updated_at: AT });
  const { reads, writes, report } = await tryJob(codeHost, {
    settings: { INDEX: 'issues' },
    secret: { token: 'reader', searchKey: 'key' },
    source: [
      { status: 403, headers: { 'retry-after': '1' }, body: { message: 'secondary rate limit' } },
      { body: [issue(1)], headers: { link: '</issues?page=2>; rel="next"' } },
      { body: [issue(2)] },
    ],
  });
  assert.deepEqual(requestsOf(reads.slice(1)), ['GET /issues?state=all&per_page=100', 'GET /issues?page=2']);
  assert.deepEqual(requestsOf(writes), ['PUT /indexes/issues/documents/1', 'PUT /indexes/issues/documents/2']);
  assert.deepEqual(
    [reads[2]?.headers.authorization, reads[2]?.headers.accept],
    ['Bearer reader', 'application/vnd.github+json'],
  );
  assert.match(String(reads[0]?.headers['user-agent']), /^solotick\/\S+ \(solotick; tried\)$/);
  assert.equal(writes[0]?.headers['x-search-key'], 'key');
  assert.equal(report.written, 2);
});

test('A CRM: OAuth 2, search by POST, a nested cursor, a 409 that means it is there.', async () => {
  const agents: unknown[] = [];
  await using tokens = await serve(({ headers }, response) => {
    agents.push(headers['user-agent']);
    answer(response, 200, { access_token: 't', token_type: 'bearer' });
  });
  const contact = (id: string) => ({ id, properties: { email: `${id}@x.example` }, updatedAt: AT });
  const { reads, writes, report } = await tryJob(crm, {
    settings: { TOKEN_URL: `${tokens.url}/token` },
    secret: { clientId: 'id', clientSecret: 'secret', mailToken: 'mail' },
    since: AT,
    source: [
      { body: { results: [contact('a')], paging: { next: { after: '1' } } } },
      { body: { results: [contact('b')] } },
    ],
    target: [{}, { status: 409 }],
  });
  assert.deepEqual(
    reads.map(({ body }) => (body as { after: string | null }).after),
    [null, '1'],
  );
  assert.equal(reads[0]?.headers.authorization, 'Bearer t');
  // The token server's operator knows whom to ask, too.
  assert.deepEqual(agents, [reads[0]?.headers['user-agent']]);
  assert.deepEqual(
    writes.map(({ body }) => body),
    ['mail=a%40x.example', 'mail=b%40x.example'],
  );
  assert.equal(report.written, 2);
});

test('A shop’s GraphQL: an error in a 200 is tried again, the cursor is in pageInfo, one product by its id.', async () => {
  const product = (id: string) => ({ id, title: id, updatedAt: AT });
  const page = (id: string, hasNextPage: boolean) => ({
    body: { data: { products: { nodes: [product(id)], pageInfo: { endCursor: id, hasNextPage } } } },
  });
  const secret = { shopKey: 'k', feedToken: 'f' };
  const source = [{ body: { errors: [{ message: 'Throttled' }] } }, page('gid://1', true), page('gid://2', false)];
  const { writes, report } = await tryJob(shop, { secret, source });
  assert.deepEqual(requestsOf(writes), ['PUT /feed/gid%3A%2F%2F1', 'PUT /feed/gid%3A%2F%2F2']);
  assert.equal(report.written, 2);
  const byId = await tryJob(shop, {
    ...{ secret, ids: ['gid://1', 'gid://3'] },
    source: ({ body }) => {
      const { id } = (body as { variables: { id: string } }).variables;
      return { body: { data: { product: id === 'gid://1' ? product(id) : null } } };
    },
  });
  assert.partialDeepStrictEqual(byId.report, { read: 1, written: 1, missing: 1 });
});

test('An OData service: the next page is a URL in the body.', async () => {
  const order = (OrderID: number) => ({ OrderID, Total: 1, Modified: AT });
  const { reads, writes } = await tryJob(odata, {
    ...{ secret: { user: 'u', password: 'p' }, since: AT },
    source: ({ path, headers }) =>
      path.includes('skip')
        ? { body: { value: [order(2)] } }
        : { body: { value: [order(1)], '@odata.nextLink': `http://${headers.host}/Orders?$skip=1` } },
  });
  assert.deepEqual(requestsOf(reads), [
    'GET /Orders?%24filter=Modified%20ge%202026-01-01T00%3A00%3A00.000Z&%24orderby=Modified',
    'GET /Orders?$skip=1',
  ]);
  assert.deepEqual(requestsOf(writes), ['PUT /orders/1', 'PUT /orders/2']);
});

test('A catalogue by offset with a total, to a service that takes XML.', async () => {
  const page = (...skus: string[]) => ({ body: { items: skus.map((sku) => ({ sku, stock: 3 })), meta: { total: 3 } } });
  const { reads, writes } = await tryJob(offsets, { source: [page('a', 'b'), page('c d')] });
  assert.deepEqual(requestsOf(reads), ['GET /stock?offset=0&limit=2', 'GET /stock?offset=2&limit=2']);
  assert.equal(reads[0]?.headers.authorization, undefined);
  assert.deepEqual(
    writes.map(({ path, body, headers }) => [path, body, headers['content-type']]),
    ['a', 'b', 'c%20d'].map((sku) => [`/stock?sku=${sku}`, '<stock>3</stock>', 'application/xml']),
  );
});

test('A key in a parameter is in each request, and in no reason and no error.', async () => {
  const key = 'hunter2 &=?';
  const body = { list: [{ station: 'a', celsius: 1 }] };
  const { reads, writes, problems } = await tryJob(keyInQuery, {
    secret: { key },
    source: [{ body }],
    target: ({ path }) => ({ status: 422, body: { error: `no such key in ${path}, ${key}` } }),
  });
  assert.deepEqual(requestsOf(reads), ['GET /reports?page=0&cnt=2&appid=hunter2+%26%3D%3F']);
  assert.deepEqual(requestsOf(writes), ['POST /reports?api_key=hunter2+%26%3D%3F']);
  assert.deepEqual(
    problems.map(({ reason }) => reason),
    ['the target answered 422: {"error":"no such key in /reports?api_key=…, …"}'],
  );
  const failing = tryJob(keyInQuery, {
    secret: { key },
    source: ({ path }) => ({ status: 403, body: { error: `bad request ${path}` } }),
  });
  await assert.rejects(failing, {
    message:
      'GET /reports?page=0&cnt=2 at the source was answered with 403: {"error":"bad request /reports?page=0&cnt=2&appid=…"}',
  });
});

test('An API on AWS is called with the role’s signature at both sides.', async () => {
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'hunter2' });
  const { reads, writes } = await tryJob(aws, {
    source: [{ body: { things: [{ id: 'a/b' }] }, headers: { 'x-next': '2' } }, { body: { things: [] } }],
  });
  assert.deepEqual(requestsOf(reads), ['GET /things', 'GET /things?cursor=2']);
  assert.match(
    String(reads[0]?.headers.authorization),
    /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d+\/eu-west-1\/execute-api\//,
  );
  assert.match(
    String(writes[0]?.headers.authorization),
    /\/us-east-1\/execute-api\/aws4_request, SignedHeaders=content-type;host;x-amz-/,
  );
});
