import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { catalogue } from '../../infra/local/demo/catalogue.ts';
import { startSource } from '../../infra/local/demo/source.ts';
import { startTarget } from '../../infra/local/demo/target.ts';
import { startSecrets } from '../../infra/local/secrets.ts';

const credentials = { username: 'reader', password: 'pass:word' };
const authorization = `Basic ${Buffer.from('reader:pass:word').toString('base64')}`;

interface Page {
  models: { id: string; updatedAt: string }[];
  nextCursor: string | null;
}

async function readAll(url: string, query: Record<string, string>) {
  const pages: Page[] = [];
  for (let cursor: string | null = ''; cursor !== null && pages.length < 1000; ) {
    const search = new URLSearchParams({ ...query, cursor });
    const response = await fetch(`${url}/v1/models?${search}`, { headers: { authorization } });
    assert.equal(response.status, 200);
    const page = (await response.json()) as Page;
    pages.push(page);
    cursor = page.nextCursor;
  }
  return { pages, ids: pages.flatMap((page) => page.models.map((model) => model.id)) };
}

test('the catalogue has more than 500 real models with unique ids', () => {
  const models = catalogue();
  assert.ok(models.length > 500, `${models.length} models`);
  assert.equal(new Set(models.map((model) => model.id)).size, models.length);
  for (const { id, name, updatedAt, limit } of models) {
    assert.match(id, /^[^/]+\/.+$/);
    assert.ok(name && limit.context >= 0 && limit.output >= 0);
    assert.equal(new Date(updatedAt).toISOString(), updatedAt);
  }
});

test('the source serves every record once, whatever the page size', async () => {
  const records = catalogue();
  await using source = await startSource({ records, credentials });
  const ids = records.map((model) => model.id);
  for (const limit of [1000, 500, 97]) {
    const read = await readAll(source.url, { limit: String(limit) });
    assert.deepEqual(read.ids, ids);
    assert.equal(read.pages.length, Math.ceil(ids.length / limit));
  }
});

test('the source serves records updated in a window, its start included and its end excluded', async () => {
  const at = (day: number) => ({ id: `m${day}`, updatedAt: `2025-01-0${day}T00:00:00.000Z` });
  await using source = await startSource({ records: [1, 2, 3, 4].map(at), credentials });
  const window = { updated_since: at(2).updatedAt, updated_until: at(4).updatedAt };
  assert.deepEqual((await readAll(source.url, { limit: '1', ...window })).ids, ['m2', 'm3']);
  assert.deepEqual((await readAll(source.url, { updated_since: at(4).updatedAt })).ids, ['m4']);
});

test('the source serves one record by its id, and answers 404 for an unknown id', async () => {
  const record = { id: 'a/b c%', name: 'A' };
  await using source = await startSource({ records: [record], credentials });
  const one = (id: string) =>
    fetch(`${source.url}/v1/models/${encodeURIComponent(id)}`, { headers: { authorization } });
  assert.deepEqual(await (await one('a/b c%')).json(), record);
  assert.equal((await one('a')).status, 404);
});

test('the source refuses wrong credentials and malformed queries', async () => {
  await using source = await startSource({ records: [], credentials });
  const statusOf = async (query: string, headers: Record<string, string>) =>
    (await fetch(`${source.url}/v1/models${query}`, { headers })).status;
  assert.equal(await statusOf('', {}), 401);
  assert.equal(await statusOf('', { authorization: 'Basic d3Jvbmc6d3Jvbmc=' }), 401);
  for (const query of ['?limit=0', '?limit=1001', '?limit=x', '?cursor=x', '?updated_since=yesterday']) {
    assert.equal(await statusOf(query, { authorization }), 400, query);
  }
  source.credentials = { username: 'other', password: 'other' };
  assert.equal(await statusOf('', { authorization }), 401);
});

const put = (
  url: string,
  { id = 'm', region = 'eu', token = 'secret', scope = '/lock', fence = '5', body = '{"name":"M"}' } = {},
) =>
  fetch(`${url}/v1/regions/${region}/models/${encodeURIComponent(id)}`, {
    method: 'PUT',
    body,
    headers: {
      authorization: `Bearer ${token}`,
      'x-fencing-scope': scope,
      'x-fencing-token': fence,
      'idempotency-key': `run:${id}`,
    },
  });

test('the target stores what it accepts, with its fencing token and idempotency key', async () => {
  await using target = await startTarget({ token: 'secret', regions: ['eu'] });
  assert.equal((await put(target.url, { id: 'a/b' })).status, 200);
  assert.deepEqual([...target.models], [['a/b', { name: 'M' }]]);
  assert.deepEqual(target.writes, [{ id: 'a/b', scope: '/lock', token: '5', idempotencyKey: 'run:a/b' }]);
});

test('the target refuses a wrong token, an unknown region, a body that is not JSON and a write without a fencing token', async () => {
  await using target = await startTarget({ token: 'secret', regions: ['eu'] });
  assert.equal((await put(target.url, { token: 'wrong' })).status, 401);
  assert.equal((await put(target.url, { region: 'mars' })).status, 404);
  assert.equal((await put(target.url, { body: '{' })).status, 400);
  assert.equal((await put(target.url, { fence: '' })).status, 400);
  assert.deepEqual(target.refusals, [401, 404, 400, 400]);
  assert.equal(target.models.size, 0);
});

test('the target refuses a fencing token below the highest one in the same scope', async () => {
  await using target = await startTarget({ token: 'secret', regions: ['eu'] });
  const statuses: number[] = [];
  // Compared as numbers: as text, 10 would be lower than 9.
  for (const [scope, fence] of [
    ['/a', '9'],
    ['/a', '10'],
    ['/a', '10'],
    ['/a', '9'],
    ['/b', '1'],
    ['/b', '0'],
  ] as const) {
    statuses.push((await put(target.url, { scope, fence, id: `${scope}${fence}` })).status);
  }
  assert.deepEqual(statuses, [200, 200, 200, 412, 200, 412]);
});

const remove = (url: string, id: string, fence = '5') =>
  fetch(`${url}/v1/regions/eu/models/${encodeURIComponent(id)}`, {
    method: 'DELETE',
    headers: {
      authorization: 'Bearer secret',
      'x-fencing-scope': '/lock',
      'x-fencing-token': fence,
      'idempotency-key': `run:${id}`,
    },
  });

test('the target removes a model, answers 404 where there is none, and a late write does not bring it back', async () => {
  await using target = await startTarget({ token: 'secret', regions: ['eu'] });
  await put(target.url, { id: 'a/b' });
  assert.equal((await remove(target.url, 'a/b', '')).status, 400);
  assert.equal((await remove(target.url, 'a/b', '4')).status, 412);
  assert.equal((await remove(target.url, 'a/b', '6')).status, 200);
  assert.equal((await remove(target.url, 'a/b', '6')).status, 404);
  assert.equal((await remove(target.url, 'never', '7')).status, 404);
  for (const fence of ['5', '6']) assert.equal((await put(target.url, { id: 'never', fence })).status, 412);
  assert.deepEqual(target.removals, [{ id: 'a/b', scope: '/lock', token: '6', idempotencyKey: 'run:a/b' }]);
  assert.deepEqual([...target.models], []);
  target.refuseRemoval = (id) => (id === 'x' ? 503 : undefined);
  assert.equal((await remove(target.url, 'x', '7')).status, 503);
});

async function listed(url: string, query: string, token = 'secret') {
  const response = await fetch(`${url}/v1/regions/eu/models${query}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  return { status: response.status, body: (await response.json()) as Page };
}

test('the target lists what it has, in pages that nothing leaves while it is read, and records each page that is asked for', async () => {
  await using target = await startTarget({ token: 'secret', regions: ['eu'] });
  for (const id of ['d', 'a', 'ä/€', 'c', 'b']) target.models.set(id, { name: id });
  const seen: unknown[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { status, body } = await listed(target.url, `?limit=2&cursor=${cursor}`);
    assert.equal(status, 200);
    seen.push(...body.models);
    // What is removed while the list is read takes nothing to another page.
    for (const { id } of body.models) target.models.delete(id);
    cursor = body.nextCursor;
  }
  assert.deepEqual(
    seen,
    ['a', 'b', 'c', 'd', 'ä/€'].map((id) => ({ id, name: id })),
  );
  assert.equal(target.reads.length, 3);
  assert.deepEqual((await listed(target.url, '')).body, { models: [], nextCursor: null });
});

test('the target refuses to list with a wrong token, a malformed query, and where a test says so', async () => {
  await using target = await startTarget({ token: 'secret', regions: ['eu'] });
  assert.equal((await listed(target.url, '', 'wrong')).status, 401);
  for (const query of ['?limit=0', '?limit=1001', '?limit=x'])
    assert.equal((await listed(target.url, query)).status, 400);
  target.refuseRead = (path) => (path.includes('cursor=YQ') ? 500 : undefined);
  assert.equal((await listed(target.url, '?cursor=YQ')).status, 500);
  assert.equal((await listed(target.url, '?cursor=Yg')).status, 200);
});

test('the target counts the requests in flight', async () => {
  await using target = await startTarget({ token: 'secret', regions: ['eu'], latencyMs: 100 });
  const arrived = target.nextRequest();
  const writes = ['a', 'b', 'c'].map((id) => put(target.url, { id }));
  await arrived;
  await Promise.all(writes);
  target.latencyMs = 0;
  await put(target.url);
  assert.deepEqual([target.peakInFlight, target.inFlight], [3, 0]);
});

test('the secrets endpoint answers AWS’s SDK with the newest version, and with AWS’s error for an unknown secret', async () => {
  await using secrets = await startSecrets({ known: { a: 1 } });
  const client = new SecretsManagerClient({
    region: 'us-east-1',
    endpoint: secrets.url,
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  });
  try {
    const read = (SecretId: string) => client.send(new GetSecretValueCommand({ SecretId }));
    const first = await read('known');
    assert.equal(first.SecretString, '{"a":1}');
    assert.equal((await read('known')).VersionId, first.VersionId);
    const versionId = secrets.put('known', '{"a":2}');
    const second = await read('known');
    assert.deepEqual([second.SecretString, second.VersionId], ['{"a":2}', versionId]);
    assert.notEqual(first.VersionId, versionId);
    await assert.rejects(read('unknown'), { name: 'ResourceNotFoundException' });
    assert.equal(secrets.reads, 4);
  } finally {
    client.destroy();
  }
});
