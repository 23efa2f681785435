import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { skipWithout } from '../support/moto.ts';
import { packageTemplates } from '../support/templates.ts';

const run = promisify(execFile);
const infra = join(import.meta.dirname, '../../infra');

const skip = await skipWithout('cfn-lint');

/** Fails at warnings as well. */
const lint = (files: string[]) =>
  run('cfn-lint', ['--', ...files]).catch(({ stdout, stderr }) => assert.fail(`${stdout}${stderr}`));

test('cfn-lint finds nothing in the packaged templates, with and without their optional parts.', {
  skip,
}, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'solotick-template-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await lint([...(await packageTemplates(folder)).values()]);
});

test('cfn-lint finds nothing in the templates with stacks of their own.', { skip }, async () => {
  const files = (await readdir(infra, { recursive: true }))
    .filter((name) => name.endsWith('.yml'))
    .map((name) => join(infra, name));
  const stacks: string[] = [];
  for (const file of files) if (/^AWSTemplateFormatVersion:/m.test(await readFile(file, 'utf8'))) stacks.push(file);
  assert.ok(stacks.length >= 3, stacks.join());
  await lint(stacks);
});
