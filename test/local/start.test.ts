import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { startPrices } from '../support/prices.ts';
import { testProject } from '../support/project/project.ts';
import { prices } from '../support/templates.ts';

const root = join(import.meta.dirname, '../..');
const TIMEOUT_MS = 600_000;

interface Tick {
  status: string;
  runId: string;
  reason?: string;
  heldBy?: { runId?: string };
  fencingToken?: string;
}

/** A child process and the lines it prints; killed at the end of the test if it still runs. */
function start(t: TestContext, command: string, ...args: string[]) {
  return startIn(root, t, command, ...args);
}

function startIn(cwd: string, t: TestContext, command: string, ...args: string[]) {
  const child = spawn(command, args, { cwd });
  t.after(() => child.kill('SIGKILL'));
  const lines: string[] = [];
  const closed = once(child, 'close') as Promise<[number | null, string | null]>;
  const waiting = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      for (const look of waiting) look();
    });
  }
  return { child, lines, closed, seen: (pattern: RegExp) => seen(child, lines, waiting, pattern) };
}

/** Resolves with the first line that matches; rejects when the process ends without one. */
function seen(child: ChildProcess, lines: string[], waiting: Set<() => void>, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    const look = () => {
      const line = lines.find((line) => pattern.test(line));
      if (line === undefined) return;
      waiting.delete(look);
      resolve(line);
    };
    waiting.add(look);
    child.once('close', () => reject(new Error(`ended without ${pattern}:\n${lines.join('\n')}`)));
    look();
  });
}

/** Asserts that nobody listens on this URL's port. */
async function assertGone(url: string) {
  await assert.rejects(fetch(url), url);
}

test('npm start does the whole job: one tick completes, the overlapping one is skipped and names the holder, a third one mends', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const { lines, closed } = start(t, 'npm', 'start', '--', '--json');
  const [code] = await closed;
  assert.equal(code, 0, lines.join('\n'));
  const outcome = JSON.parse(lines.at(-1) ?? '');
  const [first, second, third] = outcome.ticks as [Tick, Tick, Tick];
  assert.deepEqual(Object.keys(outcome), ['ticks', 'sourceRecords', 'targetRecords', 'peakInFlight', 'locksLeft']);
  assert.equal(first.status, 'completed');
  assert.match(first.fencingToken ?? '', /^\d+$/);
  assert.deepEqual([second.status, second.reason, second.heldBy?.runId], ['skipped', 'locked', first.runId]);
  assert.notEqual(second.runId, first.runId);
  assert.partialDeepStrictEqual(third, {
    status: 'completed',
    report: { written: 1, unchanged: outcome.sourceRecords - 1, removed: 1, failed: 0 },
  });
  assert.ok(outcome.sourceRecords > 500);
  assert.equal(outcome.targetRecords, outcome.sourceRecords);
  assert.ok(outcome.peakInFlight > 1 && outcome.peakInFlight <= 50, `${outcome.peakInFlight} in flight`);
  assert.equal(outcome.locksLeft, 0);
  assert.ok(lines.some((line) => /^etcd \S+ from /.test(line)));
});

test('npm start and npm run dev refuse an option they do not know', async (t) => {
  for (const script of ['start', 'dev']) {
    const { lines, closed } = start(t, process.execPath, `infra/local/${script}.ts`, '--jsno');
    assert.deepEqual(await closed, [1, null]);
    assert.match(lines.join('\n'), /Unknown option '--jsno'[\s\S]*usage: npm/);
  }
});

test('npm start stops everything on Ctrl-C', { timeout: TIMEOUT_MS }, async (t) => {
  const { child, lines, closed, seen } = start(t, process.execPath, 'infra/local/start.ts');
  await seen(/^tick 1:/);
  child.kill('SIGINT');
  assert.deepEqual(await closed, [1, null], lines.join('\n'));
  assert.match(lines.join('\n'), /stopped by SIGINT/);
});

test('npm start leaves nothing behind when it is killed while it packages', { timeout: TIMEOUT_MS }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'solotick-start-'));
  t.after(() => rm(folder, { recursive: true }));
  const { child, closed, lines } = start(t, 'env', `TMPDIR=${folder}`, process.execPath, 'infra/local/start.ts');
  const packages = async () => (await readdir(folder)).some((name) => existsSync(join(folder, name, 'service/dist')));
  // From here on, packaging writes files. etcd may have started by then, or not.
  while (!(await packages())) await sleep(10);
  child.kill('SIGTERM');
  assert.deepEqual(await closed, [130, null], lines.join('\n'));
  // Packaging would still be running for this long.
  await sleep(4000);
  assert.deepEqual(await readdir(folder), []);
});

/**
 * Copies the project, with the jobs and the stage of the tests and a `.env`, into a folder whose name contains a space.
 * @param secrets what `.secrets` holds, by job; with one for `prices`, the stage has that job as well
 */
async function projectWith(
  t: TestContext,
  dotenv: Record<string, string> = {},
  secrets: Record<string, unknown> = {},
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'solotick start '));
  t.after(() => rm(folder, { recursive: true }));
  for (const path of ['functions', 'infra', 'lib', 'test/support/project', 'package.json', 'serverless.yml'])
    await cp(join(root, path), join(folder, path), { recursive: true });
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const path of ['functions/jobs', 'infra/config', '.secrets']) {
    await rm(join(folder, path), { recursive: true, force: true });
    await mkdir(join(folder, path));
  }
  for (const job of ['models', 'prices']) {
    const text = `export { default } from '../../test/support/project/jobs/${job}.ts';\n`;
    await writeFile(join(folder, `functions/jobs/${job}.ts`), text);
  }
  const stage = parse(await readFile(join(testProject.config, 'dev.yml'), 'utf8'));
  if ('prices' in secrets) stage.jobs = { ...stage.jobs, prices };
  await writeFile(join(folder, 'infra/config/dev.yml'), stringify(stage));
  for (const [job, secret] of Object.entries(secrets))
    await writeFile(join(folder, `.secrets/${job}.json`), JSON.stringify(secret));
  const lines = Object.entries(dotenv).map(([name, value]) => `${name}=${value}\n`);
  await writeFile(join(folder, '.env'), lines.join(''));
  return folder;
}

test('npm run dev ticks until Ctrl-C, answers invocations by hand, and then lets the run finish', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const { child, lines, closed, seen } = startIn(
    await projectWith(t),
    t,
    process.execPath,
    ...['infra/local/dev.ts', '--every', '2s'],
  );
  const byHand = await seen(/functions\/control\/invocations/);
  await seen(/^tick of .*"status":"completed"/);
  const url = /http:\S+/.exec(byHand)?.[0] ?? '';
  const status = await fetch(url, { method: 'POST', body: '{"action":"status"}' });
  assert.partialDeepStrictEqual(await status.json(), {
    job: 'models',
    paused: false,
    lastRun: { status: 'completed' },
  });
  const refused = await fetch(url, { method: 'POST', body: '{"action":"dance"}' });
  assert.equal(refused.headers.get('x-amz-function-error'), 'Unhandled');
  assert.equal(((await refused.json()) as { errorType: string }).errorType, 'EventError');
  const hold = lines.find((line) => / lock \/solotick\/dev\/models\/lock$/.test(line)) ?? 'false';
  const holder = start(t, 'sh', '-c', `exec ${hold.trim()}`);
  await holder.seen(/^\/solotick\/dev\/models\/lock\//);
  await seen(/^tick of .*"reason":"locked"/);
  holder.child.kill('SIGINT');

  child.kill('SIGINT');
  assert.deepEqual(await closed, [0, null], lines.join('\n'));
  await assertGone(url);
  const etcd = /etcd (http:[^,\s]+)/.exec(lines.join('\n'))?.[1] ?? '';
  await assertGone(`${etcd}/health`);
});

test('npm run dev works and prints valid shell commands with any lock, region, secret, profile, stage and shards in .env', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const project = await projectWith(t, {
    LOCK_KEY: '/the lock',
    TARGET_REGION_ID: 'eu-2',
    SECRET_ID: 'another',
    AWS_PROFILE: 'solotick',
    STAGE: 'prod',
    SHARDS: '2',
  });
  const { child, lines, closed, seen } = startIn(project, t, process.execPath, 'infra/local/dev.ts', '--every', '1h');
  const tick = await seen(/^tick of .*: \{/);
  assert.partialDeepStrictEqual(JSON.parse(tick.slice(tick.indexOf('{'))), {
    status: 'completed',
    report: { failed: 0 },
  });
  const url = /http:\S+/.exec(await seen(/functions\/control\/invocations/))?.[0] ?? '';
  const status = await fetch(url, { method: 'POST', body: '{"action":"status"}' });
  assert.partialDeepStrictEqual(await status.json(), { stage: 'dev', lockKey: '/the lock' });
  const hold = await seen(/etcdctl .* lock /);
  const holder = start(t, 'sh', '-c', `exec ${hold.trim()}`);
  await holder.seen(/^\/the lock\//);
  holder.child.kill('SIGINT');
  child.kill('SIGINT');
  assert.deepEqual(await closed, [0, null], lines.join('\n'));
});

test('npm run dev runs a job of one’s own against its addresses, with the secret of a file, beside the local etcd.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  await using own = await startPrices('own-key');
  const addresses = { SOURCE_URL: own.url, TARGET_URL: own.url };
  const project = await projectWith(t, addresses, { prices: { key: 'own-key' } });
  const dev = ['infra/local/dev.ts', '--job', 'prices', '--every', '1h'];
  const { child, lines, closed, seen } = startIn(project, t, process.execPath, ...dev);
  await seen(/^tick of .*"status":"completed"/);
  assert.deepEqual([...own.stored], [['1', { price: 3 }]]);
  assert.ok(lines.some((line) => line.startsWith(`job prices: source ${own.url}, target ${own.url}, etcd http://127`)));
  // Nobody knows the ids of its records yet.
  const rehearsal = lines.find((line) => line.includes('functions/backfill/')) ?? '';
  assert.match(rehearsal, /"dryRun":true/);
  const answer = await fetch(/http:\S+/.exec(rehearsal)?.[0] ?? '', { method: 'POST', body: '{"dryRun":true}' });
  assert.partialDeepStrictEqual(await answer.json(), { job: 'prices', wouldWrite: ['1'] });
  child.kill('SIGINT');
  assert.deepEqual(await closed, [0, null], lines.join('\n'));
});

test('npm run dev stops at once, with one message, at a wrong setting, a wrong or missing secret, and a job to choose.', async (t) => {
  const output = async (dotenv: Record<string, string>, secrets: Record<string, unknown>, ...words: string[]) => {
    const project = await projectWith(t, dotenv, secrets);
    const { lines, closed } = startIn(project, t, process.execPath, 'infra/local/dev.ts', ...words);
    assert.deepEqual(await closed, [1, null], lines.join('\n'));
    return lines.join('\n');
  };
  const addresses = { SOURCE_URL: 'http://127.0.0.1:1', TARGET_URL: 'http://127.0.0.1:1' };
  const right = { prices: { key: 'a' } };
  assert.equal(
    await output({ ...addresses, CONCURRENCY: 'many', LOCK_TTL_SECONDS: '1' }, right, '--job', 'prices'),
    '.env and infra/config/dev.yml: 2 setting(s) missing or malformed: LOCK_TTL_SECONDS must be a whole number from 5 to 3600; ' +
      'CONCURRENCY must be a whole number from 1 to 10000',
  );
  assert.match(
    await output(addresses, { prices: { keys: 'a' } }, '--job', 'prices'),
    /^secret \.secrets\/prices\.json is not of the documented shape: [^\n]*key is missing[^\n]*$/,
  );
  assert.match(
    await output(addresses, {}),
    /^\.secrets\/models\.json cannot be read \(ENOENT\): write the secret[^\n]*$/,
  );
  assert.equal(await output({}, right), 'say which job: --job models, or --job prices');
  assert.equal(await output({}, {}, '--job', 'prices'), 'there is no job prices: say --job models');
});
