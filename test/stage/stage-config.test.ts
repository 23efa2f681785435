import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { serviceFolder } from '../../infra/bundle/artifact.ts';
import { jobValues } from '../../infra/stack/job-values.ts';
import { alarmMinutes } from '../../infra/stage/alarm-minutes.ts';
import type { JobConfig } from '../../infra/stage/job-config.ts';
import { readStageConfig, type StageConfig } from '../../infra/stage/stage-config.ts';
import type { StageError } from '../../infra/stage/stage-error.ts';
import { tickGaps } from '../../infra/stage/tick-gaps.ts';
import { testProject } from '../support/project/project.ts';

let folder: string;
let project: string;
let shipped: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'solotick-stage-'));
  project = await serviceFolder(folder, testProject);
  shipped = await readFile(join(project, 'infra/config/dev.yml'), 'utf8');
});
after(() => rm(folder, { recursive: true, force: true }));

type Changes = (readonly [line: string, instead: string])[];

/** Reads the file with some of its lines replaced. */
async function stageOf(...changes: Changes): Promise<StageConfig> {
  let yaml = shipped;
  for (const [line, instead] of changes) {
    assert.ok(yaml.includes(line), `${line} is not in the file`);
    yaml = yaml.replace(line, instead);
  }
  await writeFile(join(project, 'infra/config/dev.yml'), yaml);
  return readStageConfig('dev', project);
}

/** What holds for the job `models` in the file with some of its lines replaced. */
const edited = async (...changes: Changes): Promise<JobConfig> => (await stageOf(...changes)).jobs[0]!;

const setting = (setting: string) => edited(['  settings:', `  settings:\n      ${setting}`]);

async function refused(reading: Promise<unknown>, ...faults: string[]) {
  const error = await reading.then(
    () => assert.fail('the file should be refused'),
    (error: Error) => error,
  );
  assert.equal(error.message, `infra/config/dev.yml is invalid: ${faults.join('; ')}`);
  assert.deepEqual([error.name, (error as StageError).code], ['StageError', 'STAGE']);
}

const EXPRESSION = 'expression: rate(15 minutes)';

for (const [line, key] of [
  [EXPRESSION, 'jobs.models.schedule.expression'],
  ['secretId: solotick/dev/models', 'jobs.models.secretId'],
  ['memoryMb: 512', 'memoryMb'],
  ['timeoutSeconds: 300', 'timeoutSeconds'],
  ['logRetentionDays: 30', 'logRetentionDays'],
  ['alarms: true', 'alarms'],
  ['dashboard: true', 'dashboard'],
] as const) {
  test(`A file without ${key} is refused by file and key.`, async () => {
    await refused(edited([line, '']), `${key} is missing`);
  });
}

test('A schedule needs only its expression, and a job no shards: it is on time, in UTC, switched on, and undivided.', async () => {
  const short = await edited(
    ['timezone: UTC', ''],
    ['enabled: true', ''],
    ['flexibleWindowMinutes: 0', ''],
    ['shards: 1', ''],
    ['alarmWithoutSuccessMinutes: 45', ''],
  );
  assert.deepEqual(short, await edited());
});

for (const [line, instead, fault] of [
  [
    'timezone: UTC',
    'timezone: Mars/Olympus',
    'jobs.models.schedule.timezone must be a time zone of the IANA database, such as Europe/Berlin',
  ],
  ['enabled: true', 'enabled: 1', 'jobs.models.schedule.enabled must be true or false'],
  ['shards: 1', 'shards: 0', 'jobs.models.shards must be a whole number from 1 to 200'],
  ['memoryMb: 512', 'memoryMb: 512.5', 'memoryMb must be a whole number from 128 to 10240'],
  ['shards: 1', 'memoryMb: 512.5', 'jobs.models.memoryMb must be a whole number from 128 to 10240'],
  ['timeoutSeconds: 300', 'timeoutSeconds: 901', 'timeoutSeconds must be a whole number from 1 to 900'],
  ['alarms: true', 'alarms: loud', 'alarms must be true or false'],
  ['dashboard: true', 'dashboard: true\nalarmAddress: nobody', 'alarmAddress must be an e-mail address'],
  ['dashboard: true', 'dashboards: true', 'dashboards is not a known key'],
  ['dashboard: true', 'dashboard: true\nshards: 2', 'shards is not a known key'],
  [
    'memoryMb: 512',
    'memoryMb: 512\nvpc: { subnetIds: [subnet-1], securityGroupIds: [] }',
    'vpc.securityGroupIds must not be empty',
  ],
  [
    'memoryMb: 512',
    'memoryMb: 512\nvpc: { subnetIds: [sg-1], securityGroupIds: [sg-1] }',
    'vpc.subnetIds.0 must be an id such as subnet-0123456789abcdef0',
  ],
  [
    'secretId: solotick/dev/models',
    'secretId: arn:aws:x',
    'jobs.models.secretId must be the name of a secret, not its ARN',
  ],
  ['settings:', 'settings:\n  SHARDS: 2', 'settings.SHARDS is not a known key'],
  ['settings:', 'settings:\n  CONCURENCY: 2', 'settings.CONCURENCY is not a known key'],
  ['  settings:', '  settings:\n      CONCURENCY: 2', 'jobs.models.settings.CONCURENCY is not a known key'],
  [
    'settings:',
    'settings:\n  CONTINUE: maybe',
    'jobs.models: 1 setting(s) missing or malformed: CONTINUE must be next-tick or self',
  ],
  ['TARGET_REGION_ID: eu-1', '', 'jobs.models: 1 setting(s) missing or malformed: TARGET_REGION_ID is missing'],
] as const) {
  test(`${instead.split('\n').at(-1)?.trim() || `without ${line}`}: refused, because ${fault}.`, async () => {
    await refused(edited([line, instead]), fault);
  });
}

test('Logs are kept for a time that CloudWatch accepts.', async () => {
  const error = await edited(['logRetentionDays: 30', 'logRetentionDays: 31']).catch((error: Error) => error);
  assert.match(
    (error as Error).message,
    /^infra\/config\/dev\.yml is invalid: logRetentionDays must be one of 1, 3, 5, 7/,
  );
});

test('A starting deadline must be longer than the flexible window, within which a tick may come.', async () => {
  const withWindow = (seconds: number) =>
    edited(
      ['flexibleWindowMinutes: 0', 'flexibleWindowMinutes: 5'],
      ['  settings:', `  settings:\n      STARTING_DEADLINE_SECONDS: ${seconds}`],
    );
  await refused(
    withWindow(300),
    'jobs.models: settings.STARTING_DEADLINE_SECONDS is 300, but must be above the 300 s of schedule.flexibleWindowMinutes: a tick may ' +
      'come that late',
  );
  assert.equal((await withWindow(301)).settings.STARTING_DEADLINE_SECONDS, '301');
});

test('The deadline reserve must be below the time-out, whether the file sets it or not.', async () => {
  const fault = (reserve: number, timeout: number) =>
    `jobs.models: settings.DEADLINE_RESERVE_SECONDS is ${reserve}, but must be below timeoutSeconds, which is ${timeout}: a run ` +
    'would have no time to work';
  await refused(setting('DEADLINE_RESERVE_SECONDS: 300'), fault(300, 300));
  await refused(edited(['timeoutSeconds: 300', 'timeoutSeconds: 10']), fault(10, 10));
  assert.equal((await edited(['timeoutSeconds: 300', 'timeoutSeconds: 11'])).timeoutSeconds, 11);
});

test('Settings that the functions would refuse are refused here already, and so are values that AWS would refuse.', async () => {
  await refused(
    edited(['settings:', 'settings:\n  LOCK_KEY: /a/lock\n  STATE_PREFIX: /a/lock/state/']),
    'jobs.models: STATE_PREFIX /a/lock/state/ must not lie below LOCK_KEY /a/lock: its keys would hold the lock',
  );
  for (const arn of ['arn:aws:kms:*', 'arn:aws:kms:eu-central-1:111111111111:alias/mine']) {
    const line = `secretKeyArn: "${arn}"\nmemoryMb: 512`;
    await refused(edited(['memoryMb: 512', line]), 'secretKeyArn must be the ARN of a KMS key, not of an alias');
  }
  await refused(
    edited(['timezone: UTC', 'timezone: "+02:00"']),
    'jobs.models.schedule.timezone must be a time zone of the IANA database, such as Europe/Berlin',
  );
});

test('An address without alarms is refused.', async () => {
  await refused(
    edited(['alarms: true', 'alarms: false\nalarmAddress: a@example.com']),
    'alarmAddress has no effect while alarms is false',
  );
});

for (const expression of [
  'rate(0 minutes)',
  'rate(15 seconds)',
  'cron(0/15 * * * ?)',
  'every day',
  // These have the right shape, but AWS refuses them.
  'cron(61 * * * ? *)',
  'cron(0 0 * * * *)',
  'cron(0 0 ? * ? *)',
  'cron(0 0 ? * FUNDAY *)',
  'cron(0 9 ? * 8 *)',
  'cron(0 9 ? * 2-8 *)',
  'cron(0 0 30 2 ? *)',
  'cron(0 0 1 1 ? 2020)',
  'cron(? * * * ? *)',
  'cron(0 0 * ? MON ?)',
  'rate(100000000 days)',
]) {
  test(`The schedule ${expression} is refused by file and key.`, async () => {
    const error = await edited([EXPRESSION, `expression: "${expression}"`]).catch((error: Error) => error);
    assert.match((error as Error).message, /^infra\/config\/dev\.yml is invalid: jobs\.models\.schedule\.expression /);
  });
}

test('The gaps of any schedule are measured, including nights, weekends and months without a tick.', () => {
  const minutes = (expression: string, timezone = 'UTC', now = '2026-11-24T10:00:00Z') => {
    const { shortestSeconds, longestSeconds } = tickGaps(expression, timezone, new Date(now));
    return [shortestSeconds / 60, longestSeconds / 60];
  };
  assert.deepEqual(minutes('rate(1 minute)'), [1, 1]);
  assert.deepEqual(minutes('rate(2 days)'), [2880, 2880]);
  assert.deepEqual(minutes('cron(0/15 * * * ? *)'), [15, 15]);
  assert.deepEqual(minutes('cron(0 8-17 ? * MON-FRI *)'), [60, 63 * 60]);
  assert.deepEqual(minutes('cron(0 6 1 * ? *)'), [28 * 1440, 31 * 1440]);
  // Gaps of weeks and of half a year are found on any day of the year.
  for (const now of ['2026-11-03T10:00:00Z', '2026-11-20T10:00:00Z', '2026-06-20T00:00:00Z']) {
    assert.deepEqual(minutes('cron(0/5 * 1-7 * ? *)', 'UTC', now), [5, 24 * 1440 + 5]);
    assert.deepEqual(minutes('cron(0/15 * * JAN-JUN ? *)', 'UTC', now), [15, 184 * 1440 + 15]);
  }
  // On the day when clocks go forward, there is no half past two.
  assert.deepEqual(minutes('cron(30 2 * * ? *)', 'Europe/Berlin'), [1440, 47 * 60]);
  // The days when clocks change are 23 and 25 hours long.
  assert.deepEqual(minutes('cron(0 12 * * ? *)', 'Europe/Berlin'), [23 * 60, 25 * 60]);
});

test('An event expires when the next tick is due, within Lambda’s limits.', async () => {
  for (const [expression, seconds] of [
    ['rate(1 minute)', 60],
    ['rate(5 minutes)', 300],
    ['cron(0 * * * ? *)', 3600],
    ['rate(1 day)', 21_600],
  ] as const) {
    const config = await stageOf([EXPRESSION, `expression: ${expression}`]);
    assert.equal(jobValues(config, config.jobs[0]!).eventAgeSeconds, seconds, expression);
  }
});

test('The no-success alarm looks back as far as the file says, within CloudWatch’s limits.', async () => {
  for (const [minutes, periodSeconds, periods] of [
    [21, 60, 21],
    [1440, 60, 1440],
    [1441, 3600, 25],
    [10_080, 3600, 168],
  ] as const) {
    const config = await stageOf(['alarmWithoutSuccessMinutes: 45', `alarmWithoutSuccessMinutes: ${minutes}`]);
    assert.deepEqual(jobValues(config, config.jobs[0]!).noSuccess, { minutes, periodSeconds, periods });
  }
  await refused(
    edited(['alarmWithoutSuccessMinutes: 45', 'alarmWithoutSuccessMinutes: 10081']),
    'alarmWithoutSuccessMinutes must be a whole number from 0 to 10080',
  );
});

test('With a longer interval, the no-success alarm waits until a tick is due and has run, so that only one line changes.', async () => {
  assert.equal(alarmMinutes(await edited([EXPRESSION, 'expression: rate(40 minutes)'])), 45);
  assert.equal(alarmMinutes(await edited([EXPRESSION, 'expression: rate(44 minutes)'])), 44 + 5);
  assert.equal(alarmMinutes(await edited([EXPRESSION, 'expression: rate(45 minutes)'])), 45 + 5);
  assert.equal(alarmMinutes(await edited([EXPRESSION, 'expression: rate(1 day)'])), 1440 + 5);
  assert.equal(alarmMinutes(await setting('MIN_INTERVAL_SECONDS: 3600')), 60 + 15 + 5);
});

test('A disabled schedule has no no-success alarm, and a monthly schedule cannot have one.', async () => {
  assert.equal(alarmMinutes(await edited(['enabled: true', 'enabled: false'])), 0);
  assert.equal(alarmMinutes(await edited(['alarms: true', 'alarms: false'])), 0);
  assert.equal(alarmMinutes(await edited(['alarmWithoutSuccessMinutes: 45', 'alarmWithoutSuccessMinutes: 0'])), 0);
  await refused(
    edited([EXPRESSION, 'expression: rate(30 days)']),
    'jobs.models: alarmWithoutSuccessMinutes must be 0, which leaves this alarm out: ticks of schedule.expression are up to 30 days ' +
      'apart, and CloudWatch looks back 7 days at most',
  );
});

test('What a job’s block says goes before the top of the file, for that job alone; settings are merged one by one.', async () => {
  const prices = `
  prices:
    schedule: { expression: rate(1 hour) }
    secretId: solotick/dev/prices
    memoryMb: 256
    alarms: false
    settings: { SOURCE_URL: https://a.example.com, TARGET_URL: https://b.example.com, CONCURRENCY: 5 }`;
  const { jobs } = await stageOf(
    ['TARGET_REGION_ID: eu-1', `TARGET_REGION_ID: eu-1${prices}`],
    ['settings:', 'settings:\n  CONCURRENCY: 9'],
  );
  assert.deepEqual(
    jobs.map(({ job, memoryMb, timeoutSeconds, alarms, schedule, settings }) => [
      ...[job, memoryMb, timeoutSeconds, alarms, schedule.expression, settings.CONCURRENCY, settings.ETCD_ENDPOINTS],
    ]),
    [
      ['models', 512, 300, true, 'rate(15 minutes)', '9', 'https://etcd.example.com:2379'],
      ['prices', 256, 300, false, 'rate(1 hour)', '5', 'https://etcd.example.com:2379'],
    ],
  );
});

test('A setting at the top may be one job’s own, which the other jobs do not get.', async () => {
  const prices = `
  prices:
    schedule: { expression: rate(1 hour) }
    secretId: solotick/dev/prices
    settings: { SOURCE_URL: https://a.example.com, TARGET_URL: https://b.example.com }`;
  const { jobs } = await stageOf(
    ['      TARGET_REGION_ID: eu-1', prices.slice(1)],
    ['settings:', 'settings:\n  TARGET_REGION_ID: eu-2'],
  );
  assert.deepEqual(
    jobs.map(({ settings }) => settings.TARGET_REGION_ID),
    ['eu-2', undefined],
  );
});

test('A key that every job has need not stand at the top.', async () => {
  assert.equal((await edited(['memoryMb: 512', ''], ['shards: 1', 'memoryMb: 300'])).memoryMb, 300);
});

test('A block without a file is refused, and so are a name that AWS does not take, a broken job and no job at all.', async () => {
  const named = (name: string) => edited(['  models:', `  ${name}:`]);
  await refused(named('contacts'), 'jobs.contacts has no file functions/jobs/contacts.ts; there are: models, prices');
  for (const name of ['My Job', 'contacts_2', '-a', 'a--b', 'ä'])
    await refused(
      named(name),
      `jobs.${name} is no name for a job: write lower-case letters, digits and single hyphens, because it is part of names in AWS`,
    );
  const long = 'a'.repeat(60);
  await refused(
    named(long),
    `jobs.${long} gives solotick-dev-${long}-backfill of 82 characters, and AWS takes 64: shorten the name of job, stage or service`,
  );
  await writeFile(join(project, 'functions/jobs/empty.ts'), 'export {};\n');
  await refused(named('empty'), 'jobs.empty: functions/jobs/empty.ts must say: export default defineJob({ … })');
  const withoutJobs = shipped.slice(0, shipped.indexOf('jobs:'));
  for (const [yaml, fault] of [
    [withoutJobs, 'jobs is missing'],
    [`${withoutJobs}jobs: {}\n`, 'jobs is empty: a stage needs at least one job'],
    [`${withoutJobs}jobs:\n  models:\n`, 'jobs.models must be a block with schedule and secretId'],
    [`${withoutJobs}jobs: [models]\n`, 'jobs.0 must be a block with schedule and secretId'],
    ['', 'jobs is missing'],
  ] as const) {
    await writeFile(join(project, 'infra/config/dev.yml'), yaml);
    await refused(readStageConfig('dev', project), fault);
  }
});

test('More than twenty jobs are refused, with what to do instead.', async () => {
  const block = shipped.slice(shipped.indexOf('  models:'));
  const more = Array.from({ length: 20 }, (_, index) => block.replace('models:', `job-${index}:`)).join('');
  await refused(
    edited(['  models:', `${more}  models:`]),
    'jobs has 21 blocks, and one stack takes 20: give some of them to a second service, which is another clone with another ' +
      'service in serverless.yml',
  );
});

test('A stage whose name is too long for names in AWS is refused.', async () => {
  const longest = 64 - 'solotick--models-backfill'.length;
  for (const length of [longest, longest + 1])
    await writeFile(join(project, `infra/config/${'s'.repeat(length)}.yml`), shipped);
  assert.ok((await readStageConfig('s'.repeat(longest), project)).jobs);
  await assert.rejects(
    readStageConfig('s'.repeat(longest + 1), project),
    /gives solotick-s+-models-backfill of 65 characters/,
  );
});
