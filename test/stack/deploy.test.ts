import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import {
  CreateStackCommand,
  DeleteStackCommand,
  DescribeStacksCommand,
  GetTemplateCommand,
} from '@aws-sdk/client-cloudformation';
import { DescribeAlarmsCommand, GetDashboardCommand, ListDashboardsCommand } from '@aws-sdk/client-cloudwatch';
import { DescribeLogGroupsCommand, DescribeQueryDefinitionsCommand } from '@aws-sdk/client-cloudwatch-logs';
import { GetRoleCommand, GetRolePolicyCommand, ListRolePoliciesCommand, ListRolesCommand } from '@aws-sdk/client-iam';
import {
  GetFunctionConfigurationCommand,
  GetFunctionEventInvokeConfigCommand,
  InvokeCommand,
  ListFunctionsCommand,
} from '@aws-sdk/client-lambda';
import { ListBucketsCommand } from '@aws-sdk/client-s3';
import { GetScheduleCommand, ListSchedulesCommand } from '@aws-sdk/client-scheduler';
import { DescribeSecretCommand, GetSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import {
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ListQueuesCommand,
  ReceiveMessageCommand,
} from '@aws-sdk/client-sqs';
import { startDeployment } from '../support/deployment.ts';
import { skipWithout } from '../support/moto.ts';

const ACCOUNT = '123456789012';
const FUNCTIONS = ['sync', 'backfill', 'control'];
const QUEUES = ['sync-undelivered', 'failed-invocations', 'dead-letters'];
const TIMEOUT_MS = 600_000;

const arnOf = (service: string, name: string) => `arn:aws:${service}:us-east-1:${ACCOUNT}:${name}`;
const functionArn = (name: string, job = 'models') => arnOf('lambda', `function:solotick-dev-${job}-${name}`);
const queueArn = (name: string, job = 'models') => arnOf('sqs', `solotick-dev-${job}-${name}`);
const JOBS = ['models', 'prices'] as const;

// The tests are one story: the first one deploys, and the next ones read, run, change and remove what it deployed.
describe('serverless deploy', { skip: await skipWithout('moto'), timeout: TIMEOUT_MS }, () => {
  let deployment: Awaited<ReturnType<typeof startDeployment>>;
  before(async () => {
    deployment = await startDeployment();
  });
  after(() => deployment?.[Symbol.asyncDispose]());

  const schedule = (job = 'models') =>
    deployment.aws.scheduler.send(new GetScheduleCommand({ Name: `solotick-dev-${job}-sync` }));

  const configOf = (name: string, job = 'models') =>
    deployment.aws.lambda.send(new GetFunctionConfigurationCommand({ FunctionName: `solotick-dev-${job}-${name}` }));

  const queueUrl = async (name: string, job = 'models') =>
    (await deployment.aws.sqs.send(new GetQueueUrlCommand({ QueueName: `solotick-dev-${job}-${name}` }))).QueueUrl;

  /** Sends the schedule's input to its target, as EventBridge Scheduler does. */
  async function tick(scheduledTime: string, job = 'models') {
    const { Arn, Input } = (await schedule(job)).Target!;
    const Payload = Buffer.from(Input!.replace('<aws.scheduler.scheduled-time>', scheduledTime));
    const answer = await deployment.aws.lambda.send(new InvokeCommand({ FunctionName: Arn, Payload }));
    const payload = JSON.parse(answer.Payload!.transformToString());
    assert.equal(answer.FunctionError, undefined, JSON.stringify(payload));
    return payload;
  }

  /** What Lambda knows of a job's functions that a deployment of another job must not change. */
  const functionsOf = async (job: string) =>
    Promise.all(
      FUNCTIONS.map(async (name) => {
        const { MemorySize, Environment, Role, CodeSha256, Timeout } = await configOf(name, job);
        return { MemorySize, Environment, Role, CodeSha256, Timeout };
      }),
    );

  test('It deploys two jobs after their secrets.', async () => {
    const { settings, createSecrets, edit, serverless, aws } = deployment;
    await createSecrets();
    await edit((config) => {
      const { models } = config.jobs;
      Object.assign(models!.schedule, { expression: 'rate(10 minutes)', timezone: 'Europe/Berlin' });
      Object.assign(config, {
        memoryMb: 640,
        timeoutSeconds: 120,
        logRetentionDays: 14,
        alarmWithoutSuccessMinutes: 25,
      });
      config.alarmAddress = 'on-call@example.com';
      config.settings = settings.shared;
      models!.settings = settings.models;
      config.jobs.prices = {
        ...{ schedule: { expression: 'rate(1 hour)' }, secretId: 'solotick/dev/prices', settings: settings.prices },
        ...{ memoryMb: 256, alarms: false },
      };
    });
    await serverless('deploy');
    const { Stacks } = await aws.cloudformation.send(new DescribeStacksCommand({ StackName: 'solotick-dev' }));
    assert.equal(Stacks?.[0]?.StackStatus, 'UPDATE_COMPLETE');
  });

  test('A resource that moto does not know is an error here; moto would leave it out.', async () => {
    const TemplateBody = JSON.stringify({ Resources: { Pipe: { Type: 'AWS::Pipes::Pipe', Properties: {} } } });
    const { cloudformation } = deployment.aws;
    const creation = cloudformation.send(new CreateStackCommand({ StackName: 'refused', TemplateBody }));
    await assert.rejects(creation, /moto would leave out AWS::Pipes::Pipe/);
    await cloudformation.send(new DeleteStackCommand({ StackName: 'refused' }));
  });

  test('The schedule follows the stage’s file, with bounded retries and a queue for undelivered ticks.', async () => {
    const { ScheduleExpression, ScheduleExpressionTimezone, State, FlexibleTimeWindow, Target } = await schedule();
    assert.deepEqual([ScheduleExpression, ScheduleExpressionTimezone], ['rate(10 minutes)', 'Europe/Berlin']);
    assert.deepEqual([State, FlexibleTimeWindow], ['ENABLED', { Mode: 'OFF' }]);
    const { RoleArn, ...rest } = Target!;
    assert.deepEqual(rest, {
      Arn: functionArn('sync'),
      Input: '{"kind":"tick","scheduledTime":"<aws.scheduler.scheduled-time>"}',
      RetryPolicy: { MaximumRetryAttempts: 3, MaximumEventAgeInSeconds: 600 },
      DeadLetterConfig: { Arn: queueArn('sync-undelivered') },
    });
    assert.deepEqual(await grantsOf(RoleArn!), {
      tick: {
        'lambda:InvokeFunction': JOBS.map((job) => functionArn('sync', job)),
        'sqs:SendMessage': JOBS.map((job) => queueArn('sync-undelivered', job)),
      },
    });
    const other = await schedule('prices');
    assert.deepEqual(
      [other.ScheduleExpression, other.Target?.Arn, other.Target?.RoleArn],
      ['rate(1 hour)', functionArn('sync', 'prices'), RoleArn],
    );
    assert.deepEqual(await trusted(RoleArn!), {
      ...{ Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { Service: 'scheduler.amazonaws.com' } },
      Condition: { StringEquals: { 'aws:SourceAccount': ACCOUNT } },
    });
  });

  test('The functions have the settings of the stage’s file, and Lambda does not retry them.', async () => {
    const { aws, settings } = deployment;
    const { TemplateBody } = await aws.cloudformation.send(new GetTemplateCommand({ StackName: 'solotick-dev' }));
    assert.equal(JSON.parse(TemplateBody!).Resources.ModelsDashsyncLambdaFunction.Properties.RecursiveLoop, 'Allow');
    for (const job of JOBS)
      for (const name of FUNCTIONS) {
        const FunctionName = `solotick-dev-${job}-${name}`;
        const config = await configOf(name, job);
        assert.deepEqual(
          [
            config.Runtime,
            config.Architectures,
            config.Handler,
            config.MemorySize,
            config.Timeout,
            config.TracingConfig,
          ],
          ['nodejs24.x', ['arm64'], `dist/${name}.handler`, job === 'models' ? 640 : 256, 120, { Mode: 'Active' }],
        );
        assert.deepEqual(config.Environment?.Variables, {
          ...{ JOB: job, STAGE: 'dev', SERVICE: 'solotick', SECRET_ID: `solotick/dev/${job}`, SHARDS: '1' },
          ...{ ...settings.shared, ...settings[job] },
          ...(name !== 'control' && { DEAD_LETTER_QUEUE_URL: await queueUrl('dead-letters', job) }),
        });
        const { logGroups } = await aws.logs.send(
          new DescribeLogGroupsCommand({ logGroupNamePrefix: `/aws/lambda/${FunctionName}` }),
        );
        assert.deepEqual(
          logGroups?.map(({ retentionInDays }) => retentionInDays),
          [14],
        );
        if (name === 'control') continue;
        const asynchronous = await aws.lambda.send(new GetFunctionEventInvokeConfigCommand({ FunctionName }));
        const ofTick = [0, job === 'models' ? 600 : 3600];
        const expected = name === 'backfill' ? [2, 21_600] : ofTick;
        assert.deepEqual([asynchronous.MaximumRetryAttempts, asynchronous.MaximumEventAgeInSeconds], expected);
        const { Destination } = asynchronous.DestinationConfig?.OnFailure ?? {};
        assert.equal(Destination, queueArn('failed-invocations', job));
      }
  });

  test('Each function has its own role with only its own permissions, and sees only the secret of its own job.', async () => {
    const { aws } = deployment;
    for (const job of JOBS) {
      const { ARN: secretArn } = await aws.secrets.send(new DescribeSecretCommand({ SecretId: `solotick/dev/${job}` }));
      for (const name of FUNCTIONS) {
        const { Role } = await configOf(name, job);
        const { secret, ...grants } = await grantsOf(Role!);
        const { 'secretsmanager:GetSecretValue': pattern, ...others } = secret as Record<string, string>;
        assert.deepEqual(others, {});
        assert.match(secretArn!, new RegExp(`^${pattern!.replaceAll('?', '\\w')}$`));
        const logs = arnOf('logs', `log-group:/aws/lambda/solotick-dev-${job}-${name}:*`);
        assert.deepEqual(grants, {
          logs: { 'logs:CreateLogStream,logs:PutLogEvents': logs },
          tracing: { 'xray:PutTraceSegments,xray:PutTelemetryRecords': '*' },
          ...(name !== 'control' && {
            queues: { 'sqs:SendMessage': [queueArn('dead-letters', job), queueArn('failed-invocations', job)] },
          }),
          ...(name === 'backfill' && {
            'go-on': {
              'lambda:InvokeFunction': [functionArn('backfill', job), functionArn('sync', job)],
            },
          }),
        });
        const { Principal } = await trusted(Role!);
        assert.deepEqual(Principal, { Service: 'lambda.amazonaws.com' });
      }
    }
  });

  test('The queues are encrypted and keep their messages for two weeks.', async () => {
    for (const [job, name] of JOBS.flatMap((job) => QUEUES.map((name) => [job, name] as const))) {
      const command = new GetQueueAttributesCommand({ QueueUrl: await queueUrl(name, job), AttributeNames: ['All'] });
      const { Attributes = {} } = await deployment.aws.sqs.send(command);
      assert.equal(Attributes.SqsManagedSseEnabled, 'true');
      assert.equal(Attributes.MessageRetentionPeriod, String(14 * 24 * 60 * 60));
    }
  });

  test('Every alarm of the job that has some notifies the address and is on the dashboard, which shows both jobs.', async () => {
    const { cloudwatch } = deployment.aws;
    const { MetricAlarms: alarms = [] } = await cloudwatch.send(new DescribeAlarmsCommand());
    assert.deepEqual(alarms.map(({ AlarmName }) => AlarmName?.replace('solotick-dev-models-', '')).sort(), [
      ...['consecutive-skips', 'dead-letters', 'errors', 'failed-invocations', 'failed-records', 'lock-lost'],
      ...['near-timeout', 'no-success', 'removals-withheld', 'solotick-dev-backfill-failed', 'undelivered'],
    ]);
    for (const { AlarmActions, OKActions } of alarms) {
      assert.deepEqual([AlarmActions, OKActions], Array(2).fill([arnOf('sns', 'solotick-dev-alarms')]));
    }
    const silence = alarms.find(({ AlarmName }) => AlarmName === 'solotick-dev-models-no-success');
    assert.deepEqual([silence?.TreatMissingData, silence?.EvaluationPeriods, silence?.Threshold], ['breaching', 25, 1]);
    assert.deepEqual(silence?.Metrics?.map(({ Expression }) => Expression).filter(Boolean), ['FILL(success, 0)']);

    const { DashboardBody } = await cloudwatch.send(new GetDashboardCommand({ DashboardName: 'solotick-dev' }));
    for (const job of JOBS) assert.match(DashboardBody!, new RegExp(`"${job}: ticks by outcome`));
    const [first] = JSON.parse(DashboardBody!).widgets;
    assert.deepEqual(first.properties.alarms.sort(), alarms.map(({ AlarmArn }) => AlarmArn).sort());
  });

  test('The saved queries are over the log groups of both jobs, which there are.', async () => {
    const { logs } = deployment.aws;
    const { queryDefinitions = [] } = await logs.send(new DescribeQueryDefinitionsCommand());
    assert.deepEqual(queryDefinitions.map(({ name }) => name).sort(), [
      ...['solotick-dev/failed records by reason', 'solotick-dev/one record by id', 'solotick-dev/runs'],
    ]);
    const { logGroups = [] } = await logs.send(new DescribeLogGroupsCommand());
    const there = logGroups.map(({ logGroupName }) => logGroupName!).filter((name) => !name.endsWith('-control'));
    assert.equal(there.length, 2 * JOBS.length);
    for (const { logGroupNames } of queryDefinitions) assert.deepEqual(logGroupNames?.sort(), there.sort());
  });

  test('A tick runs the deployed zip: it copies everything with a fencing token and the secret of Secrets Manager.', async () => {
    const { aws, records, source, target, run, fetchZip, etcd } = deployment;
    const { Buckets } = await aws.s3.send(new ListBucketsCommand());
    const zip = await fetchZip(Buckets![0]!.Name!);
    const digest = hash('sha256', zip, 'base64');
    for (const [job, name] of JOBS.flatMap((job) => FUNCTIONS.map((name) => [job, name] as const))) {
      const config = await configOf(name, job);
      assert.equal(config.CodeSha256, digest);
      await run(config, zip);
    }

    source.records = [{ id: 'broken' }, ...records];
    const result = await tick('2026-11-24T12:00:00Z');
    assert.partialDeepStrictEqual(result, { status: 'completed', report: { written: records.length, invalid: 1 } });
    assert.equal(target.models.size, records.length);
    for (const { id, ...body } of records) assert.deepEqual(target.models.get(id), body);
    const fences = new Set(target.writes.map(({ token, scope }) => `${scope} ${token}`));
    assert.deepEqual([...fences], [`/solotick/dev/models/lock ${result.fencingToken}`]);
    assert.equal(await etcd.etcdctl(['get', '/solotick/dev/models/lock/', '--prefix', '--keys-only']), '');
  });

  test('The other job runs from the same zip, beside the first, under its own lock and with its own secret.', async () => {
    const { prices, target, etcd } = deployment;
    const written = target.writes.length;
    const result = await tick('2026-11-24T12:00:00Z', 'prices');
    assert.partialDeepStrictEqual(result, { status: 'completed', job: 'prices', report: { written: 1 } });
    assert.deepEqual([...prices.stored], [['1', { price: 3 }]]);
    assert.equal(target.writes.length, written);
    const state = await etcd.etcdctl(['get', '/solotick/dev/', '--prefix', '--keys-only']);
    for (const job of JOBS) assert.match(state, new RegExp(`^/solotick/dev/${job}/state/run$`, 'm'));
  });

  test('The invalid record waits in the dead-letter queue.', async () => {
    const { sqs } = deployment.aws;
    const command = new ReceiveMessageCommand({ QueueUrl: await queueUrl('dead-letters'), MaxNumberOfMessages: 10 });
    const { Messages = [] } = await sqs.send(command);
    const letters = Messages.map(({ Body }) => JSON.parse(Body!));
    assert.deepEqual(
      letters.map(({ id, kind, stage, record }) => ({ id, kind, stage, record })),
      [{ id: 'broken', kind: 'invalid', stage: 'dev', record: { id: 'broken' } }],
    );
  });

  test('A tick while the lock is held is skipped, and the status says who holds it.', async () => {
    const { etcd, serverless, target, records } = deployment;
    const key = '/solotick/dev/models/lock/somebody';
    const written = target.writes.length;
    await etcd.etcdctl(['put', key, '']);
    try {
      const result = await tick('2026-11-24T12:10:00Z');
      assert.partialDeepStrictEqual(result, { status: 'skipped', reason: 'locked', heldBy: { key } });
      const status = await serverless('status', '--job', 'models');
      assert.match(status, new RegExp(`^lock +held by another program, key ${key}`, 'm'));
      const table = await serverless('status');
      assert.match(table, /^JOB +RUNNING +LAST RUN +WRITTEN +FAILED +LAG +PAUSED$/m);
      assert.match(
        table,
        new RegExp(`^models +another program +completed \\S+ +${records.length} +0 +\\d+ .* +no$`, 'm'),
      );
      assert.match(table, /^prices +- +completed \S+ +1 +0 +\d+ .* +no$/m);
    } finally {
      await etcd.etcdctl(['del', key]);
    }
    assert.equal(target.writes.length, written);
  });

  test('A backfill by hand runs through Lambda, with osls’s own command and with the project’s.', async () => {
    const { records, serverless, target } = deployment;
    const [first, second] = records.map(({ id }) => id) as [string, string];
    target.models.clear();
    const data = JSON.stringify({ ids: [first] });
    const answer = await serverless('invoke', '--function', 'models-backfill', '--data', data);
    assert.partialDeepStrictEqual(JSON.parse(answer), { status: 'completed', report: { read: 1, written: 1 } });
    await assert.rejects(serverless('backfill', '--ids', second), /say which job: --job models, or --job prices/);
    assert.match(
      await serverless('backfill', '--job', 'models', '--ids', second),
      /: 1 id\ncompleted: 1 read, 1 written/,
    );
    assert.deepEqual([...target.models.keys()], [first, second]);
  });

  test('A new schedule of one job takes one line in the stage’s file and a deploy, and the other job stays as it is.', async () => {
    const { aws, edit, serverless } = deployment;
    const [before, other] = [await functionsOf('models'), await schedule('models')];
    await edit((config) => {
      Object.assign(config.jobs.prices!.schedule, { expression: 'rate(5 minutes)' });
      config.jobs.prices!.memoryMb = 320;
    });
    await serverless('deploy');
    const { ScheduleExpression, Target } = await schedule('prices');
    assert.deepEqual([ScheduleExpression, Target?.RetryPolicy?.MaximumEventAgeInSeconds], ['rate(5 minutes)', 300]);
    const command = new GetFunctionEventInvokeConfigCommand({ FunctionName: 'solotick-dev-prices-sync' });
    assert.equal((await aws.lambda.send(command)).MaximumEventAgeInSeconds, 300);
    assert.deepEqual(
      (await functionsOf('prices')).map(({ MemorySize }) => MemorySize),
      [320, 320, 320],
    );
    assert.deepEqual(await functionsOf('models'), before);
    const { ScheduleExpression: expression, Target: target } = await schedule('models');
    assert.deepEqual([expression, target], [other.ScheduleExpression, other.Target]);
  });

  test('Without its block, a job’s parts are removed; its state and its secret stay, and so does the other job.', async () => {
    const { aws, edit, serverless, etcd } = deployment;
    const before = await functionsOf('models');
    await edit((config) => {
      delete config.jobs.prices;
    });
    await serverless('deploy');
    const { Functions = [] } = await aws.lambda.send(new ListFunctionsCommand());
    assert.deepEqual(
      Functions.map(({ FunctionName }) => FunctionName).sort(),
      FUNCTIONS.map((name) => `solotick-dev-models-${name}`).sort(),
    );
    const left = [
      (await aws.scheduler.send(new ListSchedulesCommand())).Schedules,
      (await aws.sqs.send(new ListQueuesCommand())).QueueUrls,
      (await aws.iam.send(new ListRolesCommand())).Roles,
      (await aws.logs.send(new DescribeLogGroupsCommand())).logGroups,
      (await aws.logs.send(new DescribeQueryDefinitionsCommand())).queryDefinitions,
      (await aws.cloudwatch.send(new GetDashboardCommand({ DashboardName: 'solotick-dev' }))).DashboardBody,
    ];
    assert.doesNotMatch(JSON.stringify(left), /prices/i);
    assert.deepEqual(await functionsOf('models'), before);
    assert.partialDeepStrictEqual(await tick('2026-11-24T12:20:00Z'), { status: 'completed' });
    const { SecretString } = await aws.secrets.send(new GetSecretValueCommand({ SecretId: 'solotick/dev/prices' }));
    assert.deepEqual(JSON.parse(SecretString!), { key: 'prices-key' });
    assert.match(await etcd.etcdctl(['get', '/solotick/dev/prices/', '--prefix', '--keys-only']), /state\/run/);
  });

  test('serverless remove leaves only the secrets, which have stacks of their own.', async () => {
    const { aws, serverless } = deployment;
    await serverless('remove');
    const { Stacks = [] } = await aws.cloudformation.send(new DescribeStacksCommand());
    assert.deepEqual(
      Stacks.map(({ StackName }) => StackName),
      ['solotick-secret-dev-models', 'solotick-secret-dev-prices'],
    );
    const { SecretString } = await aws.secrets.send(new GetSecretValueCommand({ SecretId: 'solotick/dev/models' }));
    assert.equal(JSON.parse(SecretString!).target.token, 'writer-token');
    const left = await Promise.all([
      aws.lambda.send(new ListFunctionsCommand()).then(({ Functions }) => Functions),
      aws.scheduler.send(new ListSchedulesCommand()).then(({ Schedules }) => Schedules),
      aws.iam.send(new ListRolesCommand()).then(({ Roles }) => Roles),
      aws.sqs.send(new ListQueuesCommand()).then(({ QueueUrls }) => QueueUrls),
      aws.cloudwatch.send(new DescribeAlarmsCommand()).then(({ MetricAlarms }) => MetricAlarms),
      aws.cloudwatch.send(new ListDashboardsCommand()).then(({ DashboardEntries }) => DashboardEntries),
      aws.logs.send(new DescribeLogGroupsCommand()).then(({ logGroups }) => logGroups),
      aws.logs.send(new DescribeQueryDefinitionsCommand()).then(({ queryDefinitions }) => queryDefinitions),
      aws.s3.send(new ListBucketsCommand()).then(({ Buckets }) => Buckets),
    ]);
    assert.deepEqual(
      left.map((list) => list ?? []),
      left.map(() => []),
    );
  });

  const roleName = (arn: string) => arn.split('/').at(-1)!;

  /** The grants of each policy of a role: resources by actions. */
  async function grantsOf(roleArn: string) {
    const { iam } = deployment.aws;
    const RoleName = roleName(roleArn);
    const { PolicyNames = [] } = await iam.send(new ListRolePoliciesCommand({ RoleName }));
    const grants: Record<string, Record<string, unknown>> = {};
    for (const PolicyName of PolicyNames) {
      const { PolicyDocument } = await iam.send(new GetRolePolicyCommand({ RoleName, PolicyName }));
      const statements = JSON.parse(decodeURIComponent(PolicyDocument!)).Statement;
      grants[PolicyName] = Object.fromEntries(
        statements.map(({ Effect, Action, Resource, ...rest }: Record<string, unknown>) => {
          assert.deepEqual([Effect, rest], ['Allow', {}]);
          return [String(Action), Resource];
        }),
      );
    }
    return grants;
  }

  /** The one statement that says who may assume the role. */
  async function trusted(roleArn: string) {
    const { Role } = await deployment.aws.iam.send(new GetRoleCommand({ RoleName: roleName(roleArn) }));
    const { Statement } = JSON.parse(decodeURIComponent(Role!.AssumeRolePolicyDocument!));
    assert.equal(Statement.length, 1);
    return Statement[0];
  }
});
