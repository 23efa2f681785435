import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, type TestContext, test } from 'node:test';
import { serviceFolder } from '../../infra/bundle/artifact.ts';
import type { Answer } from '../../infra/console/api.ts';
import { testProject } from '../support/project/project.ts';

const TIMEOUT_MS = 300_000;
const root = join(import.meta.dirname, '../..');

/** Neither this machine's own, nor those of a server in the cloud that it may be. */
const NO_CREDENTIALS = {
  ...{ PATH: process.env.PATH, AWS_EC2_METADATA_DISABLED: 'true' },
  ...{ AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' },
};

let folder: string;
let serviceDir: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'solotick-console-'));
  serviceDir = await serviceFolder(folder, testProject);
});
after(() => rm(folder, { recursive: true, force: true }));

/** Starts a program of Node; it is killed at the end of the test if it still runs. */
function start(t: TestContext, args: string[], env = process.env) {
  const child = spawn(process.execPath, args, { cwd: serviceDir, env });
  t.after(() => child.kill('SIGKILL'));
  const lines: string[] = [];
  const closed = once(child, 'close') as Promise<[number | null, string | null]>;
  const address = Promise.withResolvers<string>();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      const found = /^console: (http:\/\/127\.0\.0\.1:\d+\/[\w-]{43}\/)$/.exec(line)?.[1];
      if (found) address.resolve(found);
    });
  }
  const ended = closed.then(() => Promise.reject(new Error(`ended without an address:\n${lines.join('\n')}`)));
  ended.catch(() => undefined);
  return { child, lines, closed, address: Promise.race([address.promise, ended]) };
}

async function answered(url: string): Promise<Answer> {
  const response = await fetch(`${url}api/jobs`, { signal: AbortSignal.timeout(60_000) });
  assert.equal(response.status, 200);
  return (await response.json()) as Answer;
}

test('npm run dev prints the address of a console in its first lines, and so does serverless console --local beside it.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const dev = start(t, [join(root, 'infra/local/dev.ts'), '--every', '1h']);
  const url = await dev.address;
  assert.ok(dev.lines.findIndex((line) => line.startsWith('console: ')) < 3, dev.lines.join('\n'));
  const { stage, local, jobs } = await answered(url);
  assert.deepEqual([stage, local, jobs.length], ['dev', true, 1]);
  assert.equal(jobs[0]?.status?.job, 'models');
  // Due an hour after the start, when the first tick came.
  const inMs = Date.parse(jobs[0]?.nextDue ?? '') - Date.now();
  assert.ok(inMs > 0 && inMs <= 3_600_000, jobs[0]?.nextDue);

  const osls = join(root, 'node_modules/osls/bin/serverless.js');
  const command = start(t, [osls, 'console', '--local', '--no-open']);
  const other = await command.address;
  assert.notEqual(other, url);
  const view = (await answered(other)).jobs[0];
  assert.equal(view?.status?.job, 'models');
  assert.equal(view?.timer?.everyMs, 3_600_000);
  command.child.kill('SIGINT');
  assert.deepEqual(await command.closed, [0, null], command.lines.join('\n'));
  await assert.rejects(fetch(other, { signal: AbortSignal.timeout(60_000) }));
  // No file with the address is left, which the browser would have been given.
  const left = await readdir(join(serviceDir, '.cache')).catch(() => []);
  assert.deepEqual(left, []);

  dev.child.kill('SIGINT');
  assert.deepEqual(await dev.closed, [0, null], dev.lines.join('\n'));
  const alone = start(t, [osls, 'console', '--local', '--no-open']);
  await assert.rejects(alone.address, /npm run dev is not running/);
});

test('serverless console --stage serves the deployed jobs with their schedules, and says without credentials what to do.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const osls = join(root, 'node_modules/osls/bin/serverless.js');
  const command = start(t, [osls, 'console', '--stage', 'dev', '--no-open'], NO_CREDENTIALS);
  const { local, jobs } = await answered(await command.address);
  assert.equal(local, false);
  assert.match(jobs[0]?.timer?.expression ?? '', /^(rate|cron)\(/);
  assert.equal(jobs[0]?.trouble?.kind, 'credentials');
  assert.match(jobs[0]?.trouble?.advice ?? '', /^Sign in again/);
});
