import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { serverless, serviceFolder } from '../../infra/bundle/artifact.ts';
import { jobResources } from '../../infra/stack/job-resources.ts';
import { jobValues } from '../../infra/stack/job-values.ts';
import { readStageConfig } from '../../infra/stage/stage-config.ts';
import { rowsOf, type Widget } from '../dashboard/widget-metrics.ts';
import { testProject } from '../support/project/project.ts';
import { nameOf, toldMetrics } from '../support/told-metrics.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'solotick-alarms-'));
});
after(() => rm(folder, { recursive: true, force: true }));

interface Resource {
  Type: string;
  Properties: Record<string, unknown>;
}

interface Dimension {
  Name: string;
  Value: string;
}

interface Alarm {
  AlarmName: string;
  AlarmDescription: string;
  Namespace?: string;
  MetricName?: string;
  Dimensions?: Dimension[];
  Metrics?: { Expression?: string; MetricStat?: { Period: number; Stat: string; Metric: Required<Metric> } }[];
  Period?: number;
  EvaluationPeriods: number;
  Threshold: number;
  ComparisonOperator: string;
  TreatMissingData: string;
  AlarmActions: unknown[];
  OKActions: unknown[];
}

interface Metric {
  Namespace?: string;
  MetricName?: string;
  Dimensions?: Dimension[];
}

const templates = new Map<string, Promise<Record<string, Resource>>>();

/** Packages dev's file with some lines replaced, once for the same changes. */
async function packaged(
  ...changes: [line: string, instead: string][]
): Promise<{ resources: Record<string, Resource> }> {
  const key = JSON.stringify(changes);
  const template = templates.get(key) ?? compile(changes, join(folder, String(templates.size)));
  templates.set(key, template);
  return { resources: structuredClone(await template) };
}

async function compile(changes: [line: string, instead: string][], inside: string) {
  const serviceDir = await serviceFolder(inside, testProject);
  const file = join(serviceDir, 'infra/config/dev.yml');
  let yaml = await readFile(file, 'utf8');
  for (const [line, instead] of changes) {
    assert.ok(yaml.includes(line), `${line} is not in the file`);
    yaml = yaml.replace(line, instead);
  }
  await writeFile(file, yaml);
  await serverless(serviceDir, ['package']);
  const template = join(serviceDir, '.serverless/cloudformation-template-update-stack.json');
  return JSON.parse(await readFile(template, 'utf8')).Resources;
}

const alarmsOf = (resources: Record<string, Resource>) =>
  Object.entries(resources).flatMap(([name, { Type, Properties }]) =>
    Type === 'AWS::CloudWatch::Alarm' ? [[name, Properties as unknown as Alarm] as const] : [],
  );

/** The metrics that an alarm watches. */
const watched = ({ Metrics, ...own }: Alarm): Metric[] =>
  Metrics ? Metrics.flatMap(({ MetricStat }) => (MetricStat ? [MetricStat.Metric] : [])) : [own];

const ALARMS = [
  ...['no-success', 'errors', 'near-timeout', 'lock-lost', 'consecutive-skips', 'failed-records'],
  'removals-withheld',
  ...['undelivered', 'failed-invocations', 'dead-letters'],
];
/** One of them watches the backfills of all jobs. */
const ALARM_NAMES = [...ALARMS.map((name) => `solotick-dev-models-${name}`), 'solotick-dev-backfill-failed'];

test('Every alarm exists, says what to do, and notifies nobody without an address.', async () => {
  const { resources } = await packaged();
  const alarms = alarmsOf(resources);
  assert.deepEqual(
    alarms.map(([, { AlarmName }]) => AlarmName),
    ALARM_NAMES,
  );
  for (const [, alarm] of alarms) {
    assert.ok(alarm.AlarmDescription.length > 80, alarm.AlarmName);
    assert.deepEqual([alarm.AlarmActions, alarm.OKActions], [[], []]);
  }
  assert.deepEqual(
    Object.values(resources).filter(({ Type }) => /SNS|KMS/.test(Type)),
    [],
  );
});

test('Only the no-success alarm goes off for missing data, and it does so after exactly the time in the file.', async () => {
  const { resources } = await packaged();
  for (const [name, { TreatMissingData }] of alarmsOf(resources))
    assert.equal(TreatMissingData, name === 'ModelsNoSuccessAlarm' ? 'breaching' : 'notBreaching');
  const alarm = resources.ModelsNoSuccessAlarm!.Properties as unknown as Alarm;
  const [filled, success] = alarm.Metrics!;
  assert.equal(filled!.Expression, 'FILL(success, 0)');
  const { Period, Stat, Metric } = success!.MetricStat!;
  assert.deepEqual([Metric.MetricName, Stat], ['Success', 'Sum']);
  assert.deepEqual([alarm.ComparisonOperator, alarm.Threshold], ['LessThanThreshold', 1]);
  // Without DatapointsToAlarm, all periods must be without a success.
  assert.equal(Period * alarm.EvaluationPeriods, 45 * 60);
  assert.equal(resources.ModelsNoSuccessAlarm!.Properties.DatapointsToAlarm, undefined);
});

test('Thresholds follow the time-out, the reserve, the skips before a warning and the interval in the file.', async () => {
  const settings = 'settings:\n  SKIPS_BEFORE_WARNING: 7\n  DEADLINE_RESERVE_SECONDS: 20';
  const { resources } = await packaged(
    ['settings:', settings],
    ['timeoutSeconds: 300', 'timeoutSeconds: 600'],
    ['expression: rate(15 minutes)', 'expression: rate(30 minutes)'],
  );
  const of = (name: string) => resources[`Models${name}`]!.Properties as unknown as Alarm;
  assert.equal(of('ConsecutiveSkipsAlarm').Threshold, 7);
  assert.equal(of('NearTimeoutAlarm').Threshold, 590_000);
  // An alarm that ended before the next tick could confirm it would send two mails per tick.
  for (const name of ['Errors', 'NearTimeout', 'LockLost', 'ConsecutiveSkips', 'FailedRecords', 'RemovalsWithheld'])
    assert.equal(of(`${name}Alarm`).Period, 35 * 60, name);
});

test('With an address, all alarms go to an encrypted topic to which CloudWatch can publish.', async () => {
  const { resources } = await packaged(['alarms: true', 'alarms: true\nalarmAddress: on-call@example.com']);
  for (const [, { AlarmActions, OKActions }] of alarmsOf(resources))
    assert.deepEqual([AlarmActions, OKActions], [[{ Ref: 'AlarmTopic' }], [{ Ref: 'AlarmTopic' }]]);
  assert.partialDeepStrictEqual(resources.AlarmSubscription!.Properties, {
    ...{ Protocol: 'email', Endpoint: 'on-call@example.com' },
  });
  assert.deepEqual(resources.AlarmTopic!.Properties.KmsMasterKeyId, { Ref: 'AlarmKey' });
  const cloudWatch = {
    Effect: 'Allow',
    Principal: { Service: 'cloudwatch.amazonaws.com' },
    Condition: { StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } } },
  };
  const { KeyPolicy } = resources.AlarmKey!.Properties as { KeyPolicy: { Statement: object[] } };
  assert.partialDeepStrictEqual(KeyPolicy.Statement[1], {
    ...cloudWatch,
    Action: ['kms:Decrypt', 'kms:GenerateDataKey'],
  });
  const { PolicyDocument } = resources.AlarmTopicPolicy!.Properties as { PolicyDocument: { Statement: object[] } };
  assert.partialDeepStrictEqual(PolicyDocument.Statement, [{ ...cloudWatch, Action: 'sns:Publish' }]);
});

test('Everything that costs something when idle can be left out, and a disabled schedule has no no-success alarm.', async () => {
  const bare = await packaged(['alarms: true', 'alarms: false'], ['dashboard: true', 'dashboard: false']);
  assert.deepEqual(alarmsOf(bare.resources), []);
  const idle = Object.values(bare.resources).filter(({ Type }) => /CloudWatch|SNS|KMS|EC2/.test(Type));
  assert.deepEqual(idle, []);

  const { resources } = await packaged(['enabled: true', 'enabled: false']);
  const names = alarmsOf(resources).map(([name]) => name);
  assert.equal(names.length, ALARM_NAMES.length - 1);
  assert.ok(!names.includes('ModelsNoSuccessAlarm'));
  assert.doesNotMatch(JSON.stringify(resources.Dashboard), /no-success/);
});

test('With a longer interval, the no-success alarm waits longer, and its mail says how long.', async () => {
  const { resources } = await packaged(['expression: rate(15 minutes)', 'expression: rate(1 day)']);
  const alarm = resources.ModelsNoSuccessAlarm!.Properties as unknown as Alarm;
  assert.equal(alarm.EvaluationPeriods * alarm.Metrics![1]!.MetricStat!.Period, 25 * 3600);
  assert.match(alarm.AlarmDescription, /for 1445 minutes/);
});

test('Each shard has its own no-success alarm.', async () => {
  const { resources } = await packaged(['shards: 1', 'shards: 3']);
  assert.equal(resources.ModelsNoSuccessAlarm, undefined);
  for (const index of [0, 1, 2]) {
    const alarm = resources[`ModelsNoSuccessAlarm${index}Of3`]!.Properties as unknown as Alarm;
    assert.equal(alarm.AlarmName, `solotick-dev-models-no-success-${index}-of-3`);
    assert.deepEqual(watched(alarm)[0]!.Dimensions, [
      { Name: 'stage', Value: 'dev' },
      { Name: 'job', Value: 'models' },
      { Name: 'shard', Value: `${index}-of-3` },
    ]);
  }
});

test('Alarms and dashboard use only metrics that runs emit, with the same dimensions.', async () => {
  const { resources } = await packaged(['shards: 1', 'shards: 2']);
  const emitted = everythingEmitted();
  const named: string[] = [];
  for (const [, alarm] of alarmsOf(resources))
    for (const { Namespace, MetricName, Dimensions = [] } of watched(alarm))
      if (Namespace === 'solotick') {
        const dimensions = Object.fromEntries(Dimensions.map(({ Name, Value }) => [Name, Value]));
        named.push(nameOf({ name: MetricName!, dimensions }));
      }
  assert.equal(named.length, 7, 'two without success, lock lost, skips in a row, failed records, removals, backfill');

  const inDashboard = dashboardMetrics(resources);
  for (const name of [...named, ...inDashboard]) assert.ok(emitted.has(name), `no run emits ${name}`);
  // The dashboard shows every metric of the timer.
  for (const name of emitted)
    if (!/shard=|kind=/.test(name)) assert.ok(inDashboard.includes(name), `${name} is not shown`);
});

test('A job that lists its target has an alarm on removals that are withheld, and another one has not.', async () => {
  const [config] = (await readStageConfig('dev', await serviceFolder(join(folder, 'listing'), testProject))).jobs;
  const alarmOf = async (listsTarget: boolean) => {
    const job = { ...config!, listsTarget };
    const resources = await jobResources(job, jobValues({ service: 'solotick', stage: 'dev' }, job));
    return resources.ModelsRemovalsWithheldAlarm?.Properties as unknown as Alarm | undefined;
  };
  assert.equal(await alarmOf(false), undefined);
  const { AlarmName, AlarmDescription, MetricName, Dimensions, Threshold } = (await alarmOf(true))!;
  assert.equal(AlarmName, 'solotick-dev-models-removals-withheld');
  assert.match(AlarmDescription, /serverless diff --stage dev --job models.*serverless approve-removals/);
  const named = Object.fromEntries(Dimensions!.map(({ Name, Value }) => [Name, Value]));
  assert.ok(everythingEmitted().has(nameOf({ name: MetricName!, dimensions: named })));
  assert.equal(Threshold, 1);
});

test('Alarms on AWS’s own metrics have the names of the function and the queues in the template.', async () => {
  const { resources } = await packaged();
  const called = (name: string, key: string) => resources[name]!.Properties[key];
  const foreign = alarmsOf(resources)
    .flatMap(([, alarm]) => watched(alarm))
    .filter(({ Namespace }) => Namespace !== 'solotick');
  assert.deepEqual(
    foreign.map(({ Namespace, MetricName, Dimensions }) => [Namespace, MetricName, Dimensions?.[0]?.Value]),
    [
      ['AWS/Lambda', 'Errors', called('ModelsDashsyncLambdaFunction', 'FunctionName')],
      ['AWS/Lambda', 'Duration', called('ModelsDashsyncLambdaFunction', 'FunctionName')],
      ...['ModelsSyncScheduleUndelivered', 'ModelsFailedInvocations', 'ModelsDeadLetters'].map((queue) => [
        ...['AWS/SQS', 'ApproximateNumberOfMessagesVisible', called(queue, 'QueueName')],
      ]),
    ],
  );
});

test('The dashboard is JSON text, shows every alarm, and no widget covers another.', async () => {
  const { resources } = await packaged();
  const { widgets } = dashboardOf(resources);
  const [alarms] = widgets.filter(({ type }) => type === 'alarm');
  const prefix = 'arn:$PARTITION:cloudwatch:$REGION:$ACCOUNT:alarm:';
  assert.deepEqual(
    alarms!.properties.alarms?.map((arn) =>
      arn.replace(/\$\{AWS::(\w+?)(Id)?\}/g, (_, name) => `$${name.toUpperCase()}`),
    ),
    ALARM_NAMES.map((name) => `${prefix}${name}`),
  );
  const taken = new Set<string>();
  for (const { x, y, width, height } of widgets) {
    assert.ok(x + width <= 24);
    for (let column = x; column < x + width; column++)
      for (let row = y; row < y + height; row++) {
        const cell = `${column},${row}`;
        assert.ok(!taken.has(cell), `two widgets at ${cell}`);
        taken.add(cell);
      }
  }
  assert.deepEqual(
    widgets.filter(({ type }) => type === 'text').map(({ properties }) => properties.markdown),
    ['## Did it run?', '## Did it do its work?', '## Is it getting slower?', '## Who is in its way?'],
  );
  const { query } = widgets.find(({ type }) => type === 'log')!.properties;
  assert.match(query!, /SOURCE '\/aws\/lambda\/solotick-dev-models-sync'/);
});

function dashboardOf(resources: Record<string, Resource>): { widgets: Widget[] } {
  const { DashboardBody } = resources.Dashboard!.Properties as { DashboardBody: { 'Fn::Sub': string } };
  return JSON.parse(DashboardBody['Fn::Sub']);
}

/** The metrics of our namespace in the dashboard. */
const dashboardMetrics = (resources: Record<string, Resource>): string[] =>
  dashboardOf(resources)
    .widgets.flatMap(({ properties }) => rowsOf(properties))
    .flatMap((row) => ('metric' in row && row.metric.namespace === 'solotick' ? [nameOf(row.metric)] : []));

/** The metrics of all kinds of runs. */
const everythingEmitted = () => new Set(toldMetrics({ stage: 'dev', job: 'models', shards: 2 }).map(nameOf));
