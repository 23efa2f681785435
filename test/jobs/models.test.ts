import assert from 'node:assert/strict';
import { test } from 'node:test';
import job from '../../functions/jobs/models.ts';
import type { Listing, Request } from '../../lib/job-types.ts';
import { tryJob } from '../support/try-job.ts';

const settings = { TARGET_REGION_ID: 'eu 1' };
const secret = { source: { username: 'reader', password: 'pw' }, target: { token: 'writer' } };
const model = (id: string) => ({
  ...{ id, name: `Model ${id}`, updatedAt: '2026-01-01T00:00:00.000Z', limit: { context: 1, output: 1 } },
});

test('The job models reads what changed, page after page, and puts each model into its region.', async () => {
  const { reads, writes } = await tryJob(job, {
    ...{ settings, secret, since: '2026-01-01T00:00:00Z' },
    source: [
      { body: { models: [model('acme/a'), model('b')], nextCursor: 'next' } },
      { body: { models: [model('c')], nextCursor: null } },
    ],
  });
  assert.deepEqual(
    reads.map(({ path }) => path),
    [
      '/v1/models?limit=500&updated_since=2026-01-01T00%3A00%3A00.000Z',
      '/v1/models?limit=500&updated_since=2026-01-01T00%3A00%3A00.000Z&cursor=next',
    ],
  );
  assert.equal(reads[0]?.headers.authorization, `Basic ${Buffer.from('reader:pw').toString('base64')}`);
  assert.deepEqual(
    writes.map(({ method, path }) => `${method} ${path}`),
    ['PUT /v1/regions/eu%201/models/acme%2Fa', 'PUT /v1/regions/eu%201/models/b', 'PUT /v1/regions/eu%201/models/c'],
  );
  const { id: _id, ...body } = model('acme/a');
  assert.deepEqual(writes[0]?.body, body);
  assert.equal(writes[0]?.headers.authorization, 'Bearer writer');
});

test('The job models lists what its region has, page after page, and removes a model by its id.', async () => {
  const { list, existing, remove } = job.target;
  const asked: unknown[] = [];
  const pages = list!({
    cursor: null,
    settings,
    async getPage(request: Request) {
      asked.push([request.path, request.query]);
      const models = asked.length === 1 ? [model('acme/a'), model('b')] : [model('c')];
      return { body: { models, nextCursor: asked.length === 1 ? 'next' : null }, headers: {} };
    },
  } as unknown as Listing);
  const held: unknown[] = [];
  for await (const { records } of pages) held.push(...records.map((record) => existing!(record)));
  const path = '/v1/regions/eu%201/models';
  assert.deepEqual(asked, [
    [path, { limit: 1000, cursor: undefined }],
    [path, { limit: 1000, cursor: 'next' }],
  ]);
  const context = { settings, fencingToken: '1', fencingScope: '/lock' };
  assert.deepEqual(
    held,
    ['acme/a', 'b', 'c'].map((id) => ({ id, body: job.target.write!(model(id), context).body })),
  );
  assert.deepEqual(remove!('acme/a', context), { method: 'DELETE', path: `${path}/acme%2Fa` });
});

test('The job models reads a single model by its id.', async () => {
  const { reads, report } = await tryJob(job, {
    settings,
    secret,
    ids: ['acme/a'],
    source: [{ body: model('acme/a') }],
  });
  assert.deepEqual([reads[0]?.path, report.written], ['/v1/models/acme%2Fa', 1]);
});
