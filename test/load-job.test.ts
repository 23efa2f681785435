import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { inItsFile, loadJob } from '../functions/load-job.ts';
import { JobError, SourceError } from '../lib/errors.ts';

test('A job has the name of its file.', async () => {
  for (const file of await readdir(join(import.meta.dirname, '../functions/jobs'))) {
    const name = file.replace(/\.ts$/, '');
    assert.equal((await loadJob(name)).name, name);
  }
});

test('A name that no file can have, or none has, is a SettingsError that says so.', async () => {
  for (const name of ['', undefined, '../load-job', 'Models', 'a_b', '-a', 'a--b', 'ä', '/etc/passwd'])
    await assert.rejects(loadJob(name), {
      name: 'SettingsError',
      message: /^JOB must be the name of a file in functions\/jobs/,
    });
  await assert.rejects(loadJob('no-such-job'), {
    name: 'SettingsError',
    message: 'JOB is no-such-job, but functions/jobs/no-such-job.ts cannot be loaded',
  });
});

test('A fault of a job names its file once; other errors stay as they are.', () => {
  const error = inItsFile('models', new JobError('source.auth must return one authorization'));
  assert.equal(error.message, 'functions/jobs/models.ts: source.auth must return one authorization');
  assert.equal(inItsFile('models', error), error);
  const other = new SourceError('no page');
  assert.equal(inItsFile('models', other), other);
});
