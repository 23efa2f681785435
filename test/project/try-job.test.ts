import assert from 'node:assert/strict';
import { test } from 'node:test';
import job from '../../infra/local/demo/jobs/models.ts';
import { tryJob } from '../support/try-job.ts';
import { model } from '../support/world.ts';

const given = {
  settings: { TARGET_REGION_ID: 'eu' },
  secret: { source: { username: 'a', password: 'b' }, target: { token: 'c' } },
};
const page = (...models: unknown[]) => [{ body: { models, nextCursor: null } }];

test('A trial says which records are invalid or were refused, and why.', async () => {
  const { report, problems, writes } = await tryJob(job, {
    ...given,
    source: page({ id: 'broken' }, model(1), model(2)),
    target: ({ path }) => (path.endsWith(model(1).id) ? { status: 422, body: { message: 'no' } } : {}),
  });
  assert.deepEqual([report.read, report.invalid, report.failed, report.written], [3, 1, 1, 1]);
  assert.deepEqual(
    problems.map(({ id, kind }) => [id, kind]),
    [
      ['broken', 'invalid'],
      [model(1).id, 'failed'],
    ],
  );
  assert.match(problems[1]?.reason ?? '', /422/);
  assert.equal(writes.length, 2);
});

test('A request without an answer fails the trial by name, and so do a missing setting and a wrong secret.', async () => {
  const source = [{ body: { models: [], nextCursor: 'more' } }];
  await assert.rejects(
    tryJob(job, { ...given, source }),
    /the source was asked 2 times: GET \/v1\/models\?.* has no answer/,
  );
  await assert.rejects(tryJob(job, { secret: given.secret, source }), /TARGET_REGION_ID is missing/);
  await assert.rejects(tryJob(job, { settings: given.settings, source }), { name: 'SecretError' });
});
