import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { serverless, serviceFolder } from '../../infra/bundle/artifact.ts';
import { jobFiles } from '../../infra/stage/job-files.ts';
import { loadProjectJob } from '../../infra/stage/job-settings.ts';
import { readStageConfig } from '../../infra/stage/stage-config.ts';

const root = join(import.meta.dirname, '../..');

// These files are a user's: they have to fit together, and nothing is asserted of what they say.

test('Every file in functions/jobs is a job.', async () => {
  for (const name of (await jobFiles(root)).keys()) assert.equal((await loadProjectJob(root, name)).name, name);
});

for (const file of await readdir(join(root, 'infra/config'))) {
  const stage = file.replace(/\.yml$/, '');
  test(`infra/config/${file} is valid, and all jobs that it names are packaged.`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'solotick-own-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const serviceDir = await serviceFolder(folder);
    const { service, jobs } = await readStageConfig(stage, serviceDir);
    await serverless(serviceDir, ['package', '--stage', stage]);
    const template = join(serviceDir, '.serverless/cloudformation-template-update-stack.json');
    const text = await readFile(template, 'utf8');
    for (const { job } of jobs)
      for (const kind of ['sync', 'backfill', 'control'])
        assert.ok(text.includes(`"FunctionName": "${service}-${stage}-${job}-${kind}"`), `${job}-${kind}`);
  });
}
