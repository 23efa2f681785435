import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { demoProject } from '../../infra/local/demo/project.ts';
import { testProject } from '../support/project/project.ts';

const root = join(import.meta.dirname, '../..');
const TIMEOUT_MS = 1_800_000;

/** What is not part of the repository, or not in a fresh clone. */
const LEFT_OUT = ['node_modules', '.git', '.cache', '.serverless', 'dist', '.env', '.secrets', '.solotick-dev.json'];

/** The tests that take seconds; this one would test itself for ever. */
const FAST = [
  ...['test/{stage,settings,engine,jobs}/*.test.ts', 'test/project/{readme,rooms,sizes,try-job,workflows}.test.ts'],
  ...['test/operate/{backfill-command,printable,status-table}.test.ts', 'test/bundle/{build,licences}.test.ts'],
  ...['test/stack/iam.test.ts', 'test/local/demo-apis.test.ts'],
];

// The tests are one story: what CONTRIBUTING.md tells whoever adopts this project to do, step by step, in a copy.
describe('A fork that is adapted as CONTRIBUTING.md says', { timeout: TIMEOUT_MS }, () => {
  let fork: string;
  before(async () => {
    fork = await mkdtemp(join(tmpdir(), 'solotick-fork-'));
    for (const name of await readdir(root))
      if (!LEFT_OUT.includes(name)) await cp(join(root, name), join(fork, name), { recursive: true });
    await symlink(join(root, 'node_modules'), join(fork, 'node_modules'));
    await makeFresh();
    await run('git', 'init', '-q', '-b', 'main');
    // A link is no folder, so git would not ignore it.
    await appendFile(join(fork, '.git/info/exclude'), '/node_modules\n');
    await commit('upstream');
    await run('git', 'branch', 'upstream');
  });
  after(() => rm(fork, { recursive: true, force: true }));

  const env = { ...process.env, PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH}` };
  // The runner of this test would take those below for its own.
  delete (env as NodeJS.ProcessEnv).NODE_TEST_CONTEXT;

  async function run(command: string, ...args: string[]): Promise<string> {
    const ran = promisify(execFile)(command, args, { cwd: fork, env, maxBuffer: 100_000_000 });
    const { stdout } = await ran.catch(({ stdout, stderr }: { stdout: string; stderr: string }) =>
      assert.fail(`${[command, ...args].join(' ')} failed:\n${stdout}${stderr}`),
    );
    return stdout;
  }

  /** Puts the job and the stages of the tests into the place of a user's, so that the story begins alike in every fork. */
  async function makeFresh() {
    for (const folder of ['functions/jobs', 'test/jobs', 'infra/config'])
      await rm(join(fork, folder), { recursive: true, force: true });
    await mkdir(join(fork, 'functions/jobs'));
    const job = await readFile(join(demoProject.jobs, 'models.ts'), 'utf8');
    await writeFile(join(fork, 'functions/jobs/models.ts'), job.replace('../../../../lib/', '../../lib/'));
    await cp(testProject.config, join(fork, 'infra/config'), { recursive: true });
    const file = join(fork, 'serverless.yml');
    await writeFile(file, (await readFile(file, 'utf8')).replace(/^service:.*/m, 'service: solotick'));
  }

  const commit = async (subject: string) => {
    await run('git', 'add', '--all');
    await run('git', '-c', 'user.name=fork', '-c', 'user.email=fork@example.com', 'commit', '-q', '-m', subject);
  };

  const check = () => run('npm', 'run', 'check');

  /** Packages a stage. @returns the names of its functions */
  async function packaged(stage: string): Promise<string[]> {
    await run('npx', '--no-install', 'serverless', 'package', '--stage', stage);
    const template = await readFile(join(fork, '.serverless/cloudformation-template-update-stack.json'), 'utf8');
    const resources: { Type: string; Properties: { FunctionName: string } }[] = Object.values(
      JSON.parse(template).Resources,
    );
    return resources.flatMap(({ Type, Properties }) =>
      Type === 'AWS::Lambda::Function' ? [Properties.FunctionName] : [],
    );
  }

  const functionsOf = (prefix: string) => ['backfill', 'control', 'sync'].map((kind) => `${prefix}-${kind}`);

  test('A new job is one file, its block and its test; all checks are green at once, and it is deployed.', async () => {
    const said = await run('npm', 'run', 'new-job', 'contacts');
    assert.match(said, /next:\n +1\. say in functions\/jobs\/contacts\.ts/);
    assert.deepEqual((await run('git', 'status', '--porcelain', '--untracked-files=all')).split('\n').filter(Boolean), [
      ' M infra/config/dev.yml',
      '?? functions/jobs/contacts.ts',
      '?? test/jobs/contacts.test.ts',
    ]);
    const changes = await run('git', 'diff', '--numstat', 'infra/config/dev.yml');
    assert.match(changes, /^6\t0\t/, 'six new lines, and the others stay as they are');
    await check();
    await run('node', '--test', 'test/jobs/contacts.test.ts');
    const names = await packaged('dev');
    for (const name of functionsOf('solotick-dev-contacts')) assert.ok(names.includes(name), name);
    await commit('contacts');
  });

  test('A job is written only under a name that AWS takes, and never over one that is there.', async () => {
    for (const [names, fault] of [
      [[], /usage: npm run new-job <name>/],
      [['orders', 'tickets'], /usage: npm run new-job <name>/],
      [['My Job'], /My Job is no name for a job: write lower-case letters/],
      [['a'.repeat(60)], /characters, and AWS takes 64/],
      [['contacts'], /there is functions\/jobs\/contacts\.ts and test\/jobs\/contacts\.test\.ts already/],
    ] as const)
      await assert.rejects(run('npm', 'run', 'new-job', ...names), fault);
    assert.equal(await run('git', 'status', '--porcelain'), '');
  });

  test('With another name of the service, other values in every stage and without the job that ships, everything is green.', async () => {
    const service = join(fork, 'serverless.yml');
    const yaml = await readFile(service, 'utf8');
    await writeFile(
      service,
      yaml.replace(/^service: .*/m, 'service: acme-sync').replace(/^ {2}region:.*/m, '  region: eu-central-1'),
    );
    for (const stage of ['dev', 'prod']) {
      const file = join(fork, `infra/config/${stage}.yml`);
      await writeFile(file, stringify(adapted(stage, parse(await readFile(file, 'utf8')))));
    }
    await rm(join(fork, 'functions/jobs/models.ts'));

    await check();
    await run('node', '--test', '--test-concurrency=1', ...FAST);
    for (const stage of ['dev', 'prod'])
      assert.deepEqual((await packaged(stage)).sort(), functionsOf(`acme-sync-${stage}-contacts`));
    assert.ok((await readdir(join(fork, '.serverless'))).includes('acme-sync.zip'));
    assert.match(await run('npm', 'start'), /all as it should be/);
    await commit('adapted');
  });

  test('A later version of upstream, with changes of lib, infra and documents, is merged without a conflict.', async () => {
    await run('git', 'switch', '-q', 'upstream');
    for (const file of ['lib/shard.ts', 'functions/sync.ts', 'infra/stack/stack.ts', 'test/support/try-job.ts'])
      await appendFile(join(fork, file), '// A later version.\n');
    await appendFile(join(fork, 'CHANGELOG.md'), '\nA later version.\n');
    await commit('a later version');
    await run('git', 'switch', '-q', 'main');
    await run(
      'git',
      '-c',
      'user.name=fork',
      '-c',
      'user.email=fork@example.com',
      'merge',
      '-q',
      '--no-edit',
      'upstream',
    );
    assert.match(await readFile(join(fork, 'lib/shard.ts'), 'utf8'), /A later version/);
    assert.match(await readFile(join(fork, 'serverless.yml'), 'utf8'), /^service: acme-sync$/m);
    await run('npx', '--no-install', 'tsc', '-p', '.');
  });
});

/** A stage's file with another value for every key, and the job `contacts` instead of `models`. */
function adapted(stage: string, file: { jobs: { contacts?: object } }): object {
  return {
    ...{ memoryMb: 1536, timeoutSeconds: 600, logRetentionDays: 7, alarms: true, dashboard: false },
    ...{ alarmAddress: 'on-call@acme.example', alarmWithoutSuccessMinutes: 600 },
    vpc: { subnetIds: ['subnet-1'], securityGroupIds: ['sg-1'], secretsEndpoint: { vpcId: 'vpc-1' } },
    secretKeyArn: 'arn:aws:kms:eu-central-1:111111111111:key/1',
    settings: { ETCD_ENDPOINTS: 'https://etcd.acme.example:2379', CONCURRENCY: '7', LOCK_TTL_SECONDS: '30' },
    jobs: {
      contacts: {
        ...file.jobs.contacts,
        schedule: { expression: 'rate(1 hour)', timezone: 'Europe/Berlin', enabled: false, flexibleWindowMinutes: 7 },
        ...{ secretId: `acme/${stage}/contacts`, shards: 3, memoryMb: 256 },
        settings: {
          SOURCE_URL: 'https://crm.acme.example',
          TARGET_URL: 'https://index.acme.example',
          CONTINUE: 'self',
        },
      },
    },
  };
}
