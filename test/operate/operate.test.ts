import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, type TestContext, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { serverless, serviceFolder } from '../../infra/bundle/artifact.ts';
import { type LocalCloud, startCloud } from '../../infra/local/cloud.ts';
import { serve } from '../../infra/local/serve.ts';
import { announce } from '../../infra/terminal/announce.ts';
import { testProject } from '../support/project/project.ts';
import { prices } from '../support/templates.ts';
import { model } from '../support/world.ts';

const TIMEOUT_MS = 600_000;
const root = join(import.meta.dirname, '../..');
const announcement = (serviceDir: string) => join(serviceDir, '.solotick-dev.json');

let folder: string;
let serviceDir: string;
let cloud: LocalCloud;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'solotick-operate-'));
  serviceDir = await serviceFolder(folder, testProject);
  // The function's time-out is 300 s, so a run starts no new work after 5 s.
  cloud = await startCloud({ stage: 'dev', env: { DEADLINE_RESERVE_SECONDS: '295' } });
  announce(serviceDir, { url: cloud.lambdaUrl, stage: 'dev', jobs: [{ job: 'models', shards: 1 }] });
});
after(async () => {
  await cloud?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const local = (...args: string[]) => serverless(serviceDir, [...args, '--local']);
const refused = (args: string[], message: RegExp) =>
  assert.rejects(local(...args), (error: Error) => {
    assert.match(error.message, message);
    // A sentence for an operator, not a stack.
    assert.doesNotMatch(error.message, /\n\s+at /);
    return (error.cause as { code: number }).code === 1;
  });

/** Makes the source serve `count` records, one per minute of 2026, and empties the target. */
function serveRecords(count: number, latencyMs = 0) {
  cloud.source.records = Array.from({ length: count }, (_, index) => model(index));
  cloud.target.models.clear();
  cloud.target.latencyMs = latencyMs;
}

/** A child process and the lines it prints; killed at the end of the test if it still runs. */
function start(t: TestContext, cwd: string, ...args: string[]) {
  const child = spawn(process.execPath, args, { cwd });
  t.after(() => child.kill('SIGKILL'));
  const lines: string[] = [];
  const closed = once(child, 'close') as Promise<[number | null, string | null]>;
  const first = Promise.withResolvers<void>();
  let wanted = /^/;
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      if (wanted.test(line)) first.resolve();
    });
  }
  const seen = async (pattern: RegExp) => {
    wanted = pattern;
    if (lines.some((line) => pattern.test(line))) return;
    const ended = closed.then(() => Promise.reject(new Error(`ended without ${pattern}:\n${lines.join('\n')}`)));
    await Promise.race([first.promise, ended]);
  };
  return { child, lines, closed, seen };
}

test('A dry run prints what would be written and writes nothing.', { timeout: TIMEOUT_MS }, async () => {
  serveRecords(3);
  const said = await local('backfill', '--since', '2026-01-01', '--until', '2026-01-01T00:02Z', '--dry-run');
  assert.match(said, /completed, 2 read, 2 would be written/);
  assert.match(said, /such as model-00000, model-00001/);
  assert.equal(cloud.target.models.size, 0);
});

test('A backfill that does not fit into one invocation goes on by itself until it is complete.', {
  timeout: TIMEOUT_MS,
}, async () => {
  serveRecords(3000, 100);
  const said = await local('backfill', '--since', '2026-01-01', '--until', '2027-01-01');
  assert.match(said, /^backfill [\w-]{36}: from 2026-01-01T00:00Z until 2027-01-01T00:00Z$/m);
  assert.match(said, /^completed: 3000 read, 3000 written; it took /m);
  assert.equal(cloud.target.models.size, 3000);
  const status = await local('status', '--job', 'models');
  assert.match(status, /^backfills +[\w-]{36}: completed, 3000 read, 3000 written, from .*, started \S+ by \S+@\S+$/m);
});

test('Ctrl-C before a backfill is known to have started says how to find that out.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const asked = Promise.withResolvers<void>();
  await using silent = await serve(async () => asked.resolve());
  const own = await mkdtemp(join(tmpdir(), 'solotick-silent-'));
  t.after(() => rm(own, { recursive: true, force: true }));
  const service = await serviceFolder(own, testProject);
  announce(service, { url: silent.url, stage: 'dev', jobs: [{ job: 'models', shards: 1 }] });
  const osls = join(root, 'node_modules/osls/bin/serverless.js');
  const { child, lines, closed } = start(t, service, osls, 'backfill', '--since', '2026-01-01', '--local');
  await asked.promise;
  child.kill('SIGINT');
  assert.deepEqual(await closed, [1, null], lines.join('\n'));
  assert.match(
    lines.join('\n'),
    /whether it has started, this says:\n +npx serverless backfill --local --watch [\w-]{36}$/m,
  );
});

test('Ctrl-C leaves a backfill running, and the printed commands watch it, cancel it and go on with it.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  // It would take two minutes, which is longer than three commands take to start.
  serveRecords(3000, 1500);
  const range = ['--since', '2026-01-01', '--until', '2026-01-03T02:00Z', '--window', '2h', '--wait', '5'];
  const osls = join(root, 'node_modules/osls/bin/serverless.js');
  const { child, lines, closed, seen } = start(t, serviceDir, osls, 'backfill', ...range, '--local');
  await seen(/^window \d+ of 25 is through: .*written/);
  child.kill('SIGINT');
  assert.deepEqual(await closed, [130, null], lines.join('\n'));
  assert.match(lines.join('\n'), /^--wait is not needed any more: a backfill waits for the lock by itself$/m);
  const command = (what: string, all: string[]) =>
    all
      .map((line) => new RegExp(`npx serverless (backfill --local --${what} [\\w-]+)$`).exec(line)?.[1])
      .find(Boolean) ?? assert.fail(`no command to ${what} in\n${all.join('\n')}`);
  const [toWatch, toCancel] = ['watch', 'cancel'].map((what) => command(what, lines).split(' '));

  await serverless(serviceDir, toCancel!);
  cloud.target.latencyMs = 0;
  const ended = await serverless(serviceDir, toWatch!).catch(({ message }: Error) => message);
  assert.match(ended, /^cancelled: \d+ read, \d+ written; what is written stays; to go on/m);
  assert.ok(cloud.target.models.size < 3000);

  const said = await serverless(serviceDir, command('resume', ended.split('\n')).split(' '));
  assert.match(
    said,
    /^window 25 of 25 is through: 3000 read, 3000 written; .*, done\ncompleted: 3000 read, 3000 written/m,
  );
  assert.equal(cloud.target.models.size, 3000);
});

test('A backfill by ids writes single records and counts the ids that the source does not know.', {
  timeout: TIMEOUT_MS,
}, async () => {
  serveRecords(5);
  const said = await local('backfill', '--ids', 'model-00003,nobody');
  assert.match(said, /: 2 ids$/m);
  assert.match(
    said,
    /^completed: 1 read, 1 written, 1 missing; it took .*\n1 missing and 0 invalid records: the log of/m,
  );
  assert.deepEqual([...cloud.target.models.keys()], ['model-00003']);
});

test('While the lock is held, a backfill that was started waits, and runs when the lock is free.', {
  timeout: TIMEOUT_MS,
}, async () => {
  serveRecords(1);
  const key = '/solotick/dev/models/lock/somebody';
  await cloud.etcd.etcdctl(['put', key, '']);
  let id: string | undefined;
  try {
    const said = await local('backfill', '--since', '2026-01-01', '--detach');
    id = /^backfill ([\w-]{36}) has started and goes on by itself$/m.exec(said)?.[1];
    assert.match(said, /^to watch it: +npx .*--watch \S+\nto cancel it: npx .*--cancel \S+$/m);
    assert.match(
      await local('status', '--job', 'models'),
      new RegExp(
        `lock +held by another program, key ${key}[\\s\\S]*etcdctl del[\\s\\S]*^backfills +${id}: running, 0 % done` +
          `[\\s\\S]*^ +to watch it: npx serverless backfill --job models --local --watch ${id}$`,
        'm',
      ),
    );
    await refused(['reset', '--what', 'failed'], /nothing was reset: the lock is held/);
  } finally {
    await cloud.etcd.etcdctl(['del', key]);
  }
  assert.match(await local('backfill', '--watch', id!), /^completed: 1 read, 1 written/m);
});

test('A comparison of target and source ends with 0 where they agree; otherwise it says what differs and ends with 1.', {
  timeout: TIMEOUT_MS,
}, async () => {
  serveRecords(3);
  for (const record of cloud.source.records) {
    const { id, ...body } = record as ReturnType<typeof model>;
    cloud.target.models.set(id, body);
  }
  const writes = cloud.target.writes.length;
  assert.match(await local('diff'), /^3 read, 0 would be written, 3 unchanged\nthe target equals the source$/m);
  const { id: _, ...first } = model(0);
  cloud.target.models.set('model-00000', { ...first, name: 'by hand' });
  cloud.target.models.set('model-99999', first);
  await refused(['diff', '--values'], /^3 read, 1 would be written, 2 unchanged, 1 would be removed$/m);
  await refused(['diff', '--values'], /model-00000: name\n +name: "Model 0" at the source, "by hand" at the target$/m);
  await refused(['diff'], /^ +vanished +model-99999$/m);
  assert.deepEqual([cloud.target.writes.length, cloud.target.models.size], [writes, 4]);
});

test('Removals that are withheld are approved up to a number, and withdrawn.', { timeout: TIMEOUT_MS }, async () => {
  await refused(['approve-removals', '--up-to', '12'], /control failed: EventError: no removals are withheld/);
  const key = '/solotick/dev/models/state/removals';
  const at = '2026-11-24T12:00:00.000Z';
  await cloud.etcd.etcdctl(['put', key, JSON.stringify({ withheld: 12, of: 100, at })]);
  try {
    const status = await local('status', '--job', 'models');
    const command =
      /^to approve +if the source is right .*: npx serverless (approve-removals --job models) --local( --up-to 12)$/m.exec(
        status,
      );
    assert.ok(command, status);
    assert.match(
      await local(...`${command[1]}${command[2]}`.split(' ')),
      /^removals .* approved: the next full pass removes them$/m,
    );
    const withdrawn = JSON.parse(await local('approve-removals', '--up-to', '0', '--json'));
    assert.deepEqual(withdrawn.removals, { withheld: 12, of: 100, at });

    await cloud.etcd.etcdctl(['put', '/solotick/dev/models/lock/somebody', '']);
    await refused(['approve-removals', '--up-to', '12'], /nothing was approved: the lock is held/);
  } finally {
    await cloud.etcd.etcdctl(['del', '/solotick/dev/models/lock/somebody']);
    await cloud.etcd.etcdctl(['del', key]);
  }
});

test('An error of the function is printed with its type and message.', { timeout: TIMEOUT_MS }, () =>
  refused(['backfill', '--resume', 'nothing'], /backfill failed: EventError: there is no detached backfill nothing/),
);

test('Without --local, the commands invoke the deployed functions by their names in Lambda.', {
  timeout: TIMEOUT_MS,
}, async () => {
  const env = {
    ...process.env,
    ...{
      AWS_ENDPOINT_URL: cloud.lambdaUrl,
      AWS_ACCESS_KEY_ID: 'a',
      AWS_SECRET_ACCESS_KEY: 'b',
      AWS_REGION: 'eu-central-1',
    },
  };
  assert.match(await serverless(serviceDir, ['status', '--job', 'models'], env), /^job +models, stage dev$/m);
  assert.match(await serverless(serviceDir, ['status'], env), /^models +- +none yet +- +0 +never +no$/m);

  // Of two jobs, one is not deployed.
  const twice = await serviceFolder(join(folder, 'twice'), testProject);
  const file = join(twice, 'infra/config/dev.yml');
  const stage = parse(await readFile(file, 'utf8'));
  await writeFile(file, stringify({ ...stage, jobs: { ...stage.jobs, prices } }));
  await assert.rejects(serverless(twice, ['pause'], env), /say which job: --job models, or --job prices/);
  await assert.rejects(
    serverless(twice, ['pause', '--job', 'other'], env),
    /there is no job other: say --job models, or/,
  );
  await assert.rejects(
    serverless(twice, ['status'], env),
    /^models +- +none yet .*\nprices +solotick-dev-prices-control could not be invoked: [\s\S]*no status of prices/m,
  );
});

test('While npm run dev runs, status, pause, resume and reset with --local work on its functions.', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const project = await serviceFolder(join(folder, 'dev'), testProject);
  const onDev = (...args: string[]) => serverless(project, [...args, '--local']);
  await assert.rejects(onDev('status'), /npm run dev is not running;/);
  await writeFile(
    announcement(project),
    JSON.stringify({ url: 'http://127.0.0.1:1', stage: 'dev', jobs: [{ job: 'models', shards: 1 }] }),
  );
  const { child, lines, closed, seen } = start(t, project, join(root, 'infra/local/dev.ts'), '--every', '1h');
  await seen(/^tick of .*"status":"completed"/);

  assert.match(await onDev('status'), /^models +- +completed .* no$/m);
  assert.match(
    await onDev('status', '--job', 'models'),
    /^timer +not paused$[\s\S]*^lock +free[\s\S]*^last run +completed/m,
  );
  const paused = await onDev('pause', '--note', 'the target moves');
  assert.match(paused, /^timer +paused since \S+: the target moves$/m);
  assert.equal(JSON.parse(await onDev('resume', '--json')).paused, false);
  const reset = await onDev('reset', '--what', 'watermark', '--to', '2026-01-01');
  assert.match(reset, /^watermark +2026-01-01T00:00:00.000Z/m);

  await assert.rejects(onDev('status', '--stage', 'prod'), /npm run dev is running stage dev, not prod/);

  child.kill('SIGINT');
  assert.deepEqual(await closed, [0, null], lines.join('\n'));
  // The announcement of the earlier one, which was killed, is back.
  await assert.rejects(onDev('status'), /npm run dev is not running any more/);
});

test('osls’s own invoke takes --local as well, and --function together with --job; logs says where the logs are.', {
  timeout: TIMEOUT_MS,
}, async () => {
  const said = await local('invoke', '--function', 'control', '--job', 'models', '--data', '{"action":"status"}');
  assert.partialDeepStrictEqual(JSON.parse(said), { job: 'models', stage: 'dev' });
  await refused(['logs', '--function', 'sync'], /npm run dev prints the logs of its functions itself/);
});

test('Wrong options are refused before any function is invoked.', { timeout: TIMEOUT_MS }, async () => {
  await refused(['backfill'], /say what to copy/);
  await refused(['backfill', '--all', '--watch', 'a'], /--watch is about a backfill as it is: leave out --all/);
  await refused(['reset', '--what', 'everything'], /--what "everything" must be one of checkpoint, watermark, failed/);
  await refused(['reset', '--what', 'failed', '--to', '2026-01-01'], /--to belongs to --what watermark/);
  await refused(['approve-removals', '--up-to', 'all'], /--up-to "all" must be a whole number from 0 to 999999999/);
});
