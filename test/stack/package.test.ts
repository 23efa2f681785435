import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { parse } from 'yaml';
import { serverless, serviceFolder, unpack } from '../../infra/bundle/artifact.ts';
import { build } from '../../infra/bundle/build.ts';
import { readStageConfig } from '../../infra/stage/stage-config.ts';

/** An environment without any settings of AWS: no credentials, no profile, no region. */
const bareShell = {
  PATH: process.env.PATH,
  HOME: '/nonexistent',
  AWS_EC2_METADATA_DISABLED: 'true',
};

let folder: string;
let serviceDir: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'solotick-package-'));
});

after(() => rm(folder, { recursive: true, force: true }));

beforeEach(async () => {
  await rm(join(folder, 'service'), { recursive: true, force: true });
  serviceDir = await serviceFolder(folder);
});

test('The zip contains exactly the bundle of infra/bundle/build.ts.', async () => {
  await mkdir(join(serviceDir, 'dist'));
  await writeFile(join(serviceDir, 'dist/stale.js'), '// of an earlier build');
  await serverless(serviceDir, ['package'], bareShell);

  const unpacked = join(folder, 'unpacked');
  await unpack(join(serviceDir, '.serverless/solotick.zip'), unpacked);
  const built = join(folder, 'built');
  await build({ outDir: join(built, 'dist') });
  const files = await filesOf(unpacked);
  assert.deepEqual(files, await filesOf(built));
  for (const file of files)
    assert.deepEqual(await readFile(join(unpacked, file)), await readFile(join(built, file)), file);
});

for (const stage of ['dev', 'prod']) {
  test(`The template of ${stage} has the schedule, the settings and the permissions that infra/config/${stage}.yml asks for.`, async () => {
    await serverless(serviceDir, ['package', '--stage', stage], bareShell);
    const config = await readStageConfig(stage);
    const resources = await compiledResources();

    const schedule = resources.SyncSchedule;
    assert.equal(schedule.Type, 'AWS::Scheduler::Schedule');
    assert.equal(schedule.Properties.ScheduleExpression, config.schedule.expression);
    assert.equal(schedule.Properties.ScheduleExpressionTimezone, config.schedule.timezone);
    assert.equal(schedule.Properties.State, config.schedule.enabled ? 'ENABLED' : 'DISABLED');
    assert.equal(schedule.Properties.GroupName, undefined);
    const { Target } = schedule.Properties;
    assert.deepEqual(JSON.parse(Target.Input), { kind: 'tick', scheduledTime: '<aws.scheduler.scheduled-time>' });
    assert.deepEqual(Target.Arn, { 'Fn::GetAtt': ['SyncLambdaFunction', 'Arn'] });

    for (const name of ['Sync', 'Backfill', 'Control']) {
      const { Properties } = resources[`${name}LambdaFunction`];
      assert.equal(Properties.Runtime, 'nodejs24.x');
      assert.deepEqual(Properties.Architectures, ['arm64']);
      assert.equal(Properties.Handler, `dist/${name.toLowerCase()}.handler`);
      assert.deepEqual(
        [Properties.MemorySize, Properties.Timeout, Properties.TracingConfig],
        [config.memoryMb, config.timeoutSeconds, { Mode: 'Active' }],
      );
      assert.deepEqual(Properties.Role, { 'Fn::Sub': `\${${name}Role.Arn}` });
      assert.deepEqual(Properties.Environment.Variables, {
        ...{ STAGE: stage, SECRET_ID: config.secretId, ...config.settings, SHARDS: '1' },
        ...(name !== 'Control' && { DEAD_LETTER_QUEUE_URL: { Ref: 'DeadLetters' } }),
      });
      assert.equal(resources[`${name}LogGroup`].Properties.RetentionInDays, config.logRetentionDays);
      const asynchronous = resources[`${name}LambdaEvConf`].Properties;
      assert.equal(asynchronous.MaximumRetryAttempts, 0);
      assert.equal(asynchronous.MaximumEventAgeInSeconds, 15 * 60);
      const onFailure = name === 'Control' ? {} : { OnFailure: { Destination: arnOf('FailedInvocations') } };
      assert.deepEqual(asynchronous.DestinationConfig, onFailure);
    }

    const own = (name: string) => ({
      logs: `logs:log-group:/aws/lambda/solotick-${stage}-${name}:*`,
      secret: `secretsmanager:secret:${config.secretId}-??????`,
      tracing: '*',
    });
    const queues = [arnOf('DeadLetters'), arnOf('FailedInvocations')];
    assert.deepEqual(grantsOf(resources.SyncRole), { ...own('sync'), queues });
    assert.deepEqual(grantsOf(resources.BackfillRole), { ...own('backfill'), queues });
    assert.deepEqual(grantsOf(resources.ControlRole), own('control'));
    assert.equal(resources.IamRoleLambdaExecution, undefined);
    for (const name of ['SyncScheduleUndelivered', 'FailedInvocations', 'DeadLetters'])
      assert.equal(resources[name].Properties.SqsManagedSseEnabled, true);
  });
}

test('Roles have permissions for a network, a key and a continuation only if the stage needs them.', async () => {
  const key = 'arn:aws:kms:eu-central-1:111111111111:key/1';
  await edit('dev', (yaml) =>
    yaml
      .replace(
        'memoryMb:',
        `secretKeyArn: ${key}\nvpc: { subnetIds: [subnet-1, subnet-2], securityGroupIds: [sg-1] }\nmemoryMb:`,
      )
      .concat('  CONTINUE: self\n'),
  );
  await serverless(serviceDir, ['package'], bareShell);
  const resources = await compiledResources();
  const { network, continue: itself, 'secret-key': decrypt } = grantsOf(resources.SyncRole);
  assert.deepEqual([network, itself, decrypt], ['*', 'lambda:function:solotick-dev-sync', key]);
  assert.deepEqual(Object.keys(grantsOf(resources.ControlRole)), [
    'logs',
    'secret',
    'secret-key',
    'tracing',
    'network',
  ]);
  assert.equal(grantsOf(resources.BackfillRole).continue, undefined);
  const { VpcConfig } = resources.SyncLambdaFunction.Properties;
  assert.deepEqual(VpcConfig, { SubnetIds: ['subnet-1', 'subnet-2'], SecurityGroupIds: ['sg-1'] });
  assert.equal(resources.SecretsEndpoint, undefined);
});

test('The endpoint of Secrets Manager admits only the functions, which receive its address.', async () => {
  const vpc = '{ subnetIds: [subnet-1], securityGroupIds: [sg-1, sg-2], secretsEndpoint: { vpcId: vpc-1 } }';
  await edit('dev', (yaml) => yaml.replace('memoryMb:', `vpc: ${vpc}\nmemoryMb:`));
  await serverless(serviceDir, ['package'], bareShell);
  const resources = await compiledResources();
  const { Properties: endpoint } = resources.SecretsEndpoint;
  assert.deepEqual([endpoint.VpcId, endpoint.SubnetIds, endpoint.PrivateDnsEnabled], ['vpc-1', ['subnet-1'], false]);
  const { SecurityGroupIngress: ingress } = resources.SecretsEndpointSecurityGroup.Properties;
  assert.deepEqual(
    ingress.map(({ FromPort, ToPort, SourceSecurityGroupId }: Record<string, unknown>) => [
      ...[FromPort, ToPort, SourceSecurityGroupId],
    ]),
    [
      [443, 443, 'sg-1'],
      [443, 443, 'sg-2'],
    ],
  );
  for (const name of ['Sync', 'Backfill', 'Control']) {
    const { Variables } = resources[`${name}LambdaFunction`].Properties.Environment;
    assert.match(JSON.stringify(Variables.AWS_ENDPOINT_URL_SECRETS_MANAGER), /https:.*"SecretsEndpoint","DnsEntries"/);
  }
});

test('A disabled schedule with a flexible window is deployed as such.', async () => {
  await edit('dev', (yaml) =>
    yaml.replace(/enabled: .*/, 'enabled: false').replace(/flexibleWindowMinutes: .*/, 'flexibleWindowMinutes: 5'),
  );
  await serverless(serviceDir, ['package'], bareShell);
  const { Properties } = (await compiledResources()).SyncSchedule;
  assert.equal(Properties.State, 'DISABLED');
  assert.deepEqual(Properties.FlexibleTimeWindow, { Mode: 'FLEXIBLE', MaximumWindowInMinutes: 5 });
});

test('Each shard has a schedule with the shard in its input.', async () => {
  await edit('dev', (yaml) => yaml.replace('shards: 1', 'shards: 2'));
  await serverless(serviceDir, ['package'], bareShell);
  const resources = await compiledResources();
  assert.equal(resources.SyncSchedule, undefined);
  assert.equal(resources.SyncLambdaFunction.Properties.Environment.Variables.SHARDS, '2');
  for (const index of [0, 1]) {
    const { Name, Target } = resources[`SyncSchedule${index}Of2`].Properties;
    assert.equal(Name, `solotick-dev-sync-${index}-of-2`);
    assert.deepEqual(JSON.parse(Target.Input), {
      kind: 'tick',
      scheduledTime: '<aws.scheduler.scheduled-time>',
      shard: { index, of: 2 },
    });
  }
});

test('An invalid stage file stops packaging with one message that names the file and every key.', async () => {
  await edit('dev', (yaml) =>
    yaml
      .replace('timezone:', 'timezon:')
      .replace(/memoryMb: .*/, 'memoryMb: 5')
      .replace('TARGET_URL:', 'TARGET_URLL:')
      .concat('  LOCK_TTL_SECONDS: 1\n'),
  );
  const output = await failureOf(serverless(serviceDir, ['package'], bareShell));
  assert.match(output, /infra\/config\/dev\.yml/);
  for (const fault of [
    'schedule.timezone is missing',
    'schedule.timezon is not a known key',
    'memoryMb must be a whole number from 128 to 10240',
    'settings.TARGET_URL is missing',
    'settings.TARGET_URLL is not a known key',
    'settings.LOCK_TTL_SECONDS must be a whole number from 5 to 3600',
  ])
    assert.equal(output.split(fault).length, 2, `"${fault}" should be said once in:\n${output}`);
  assert.ok(!(await readdir(serviceDir)).includes('dist'));
});

test('The secret has a stack of its own, which neither contains the value nor deletes the secret.', async () => {
  await serverless(serviceDir, ['package'], bareShell);
  const types = Object.values(await compiledResources()).map((resource) => (resource as { Type: string }).Type);
  assert.ok(!types.includes('AWS::SecretsManager::Secret'));
  const { Secret } = parse(await readFile(join(import.meta.dirname, '../../infra/stack/secret.yml'), 'utf8')).Resources;
  assert.deepEqual([Secret.DeletionPolicy, Secret.UpdateReplacePolicy], ['Retain', 'Retain']);
  assert.deepEqual(Object.keys(Secret.Properties), ['Name', 'Description']);
});

test('A stage without a file is not deployed.', async () => {
  const output = await failureOf(serverless(serviceDir, ['deploy', '--stage', 'staging'], bareShell));
  assert.match(output, /there is no infra\/config\/staging\.yml.*dev, prod/);
});

test('A setting keeps its text, even if it looks like a number in YAML.', async () => {
  await edit('dev', (yaml) => yaml.replace(/TARGET_REGION_ID: .*/, 'TARGET_REGION_ID: 0012'));
  const { settings } = await readStageConfig('dev', join(serviceDir, 'infra/config'));
  assert.equal(settings.TARGET_REGION_ID, '0012');
});

test('invoke local runs a fresh bundle, and the settings of the shell and of .env override those of the stage.', async () => {
  await mkdir(join(serviceDir, 'dist'));
  await writeFile(join(serviceDir, 'dist/control.js'), 'throw new Error("this is of an earlier build")');
  await writeFile(join(serviceDir, '.env'), 'CONCURENCY=5\nTARGET_REGION_ID=\nAWS_PROFILE=none\n');
  const env = { ...bareShell, LOCK_TTL_SECONDS: '1' };
  const invocation = ['invoke', 'local', '--function', 'control', '--data', '{"action":"status"}'];
  const output = await failureOf(serverless(serviceDir, invocation, env));
  assert.match(output, /"errorType": "SettingsError"/);
  assert.match(output, /"2 setting\(s\) missing or malformed: [^"]*TARGET_REGION_ID is missing/);
  assert.match(output, /LOCK_TTL_SECONDS must be a whole number from 5 to 3600/);
  assert.match(output, /\.env: CONCURENCY is not a known setting/);
  assert.doesNotMatch(output, /AWS_PROFILE is not/);
});

async function edit(stage: string, change: (yaml: string) => string) {
  const file = join(serviceDir, `infra/config/${stage}.yml`);
  await writeFile(file, change(await readFile(file, 'utf8')));
}

const arnOf = (resource: string) => ({ 'Fn::GetAtt': [resource, 'Arn'] });

/** The resource of each policy of a role; ARNs without partition, region and account. */
function grantsOf(role: { Properties: { Policies: Policy[] } }): Record<string, unknown> {
  return Object.fromEntries(
    role.Properties.Policies.map(({ PolicyName, PolicyDocument: { Statement } }) => {
      const [{ Effect, Resource }] = Statement;
      assert.deepEqual([Effect, Statement.length], ['Allow', 1]);
      const arn = (Resource as { 'Fn::Sub'?: string })['Fn::Sub'] ?? Resource;
      const prefix = /^arn:\$\{AWS::Partition\}:(\w+):\$\{AWS::Region\}:\$\{AWS::AccountId\}:/;
      return [PolicyName, typeof arn === 'string' ? arn.replace(prefix, '$1:') : arn];
    }),
  );
}

interface Policy {
  PolicyName: string;
  PolicyDocument: { Statement: [{ Effect: string; Resource: unknown }] };
}

async function compiledResources() {
  const template = join(serviceDir, '.serverless/cloudformation-template-update-stack.json');
  return JSON.parse(await readFile(template, 'utf8')).Resources;
}

async function failureOf(command: Promise<string>): Promise<string> {
  const output = await command.then(
    (stdout) => assert.fail(`the command should fail, but said: ${stdout}`),
    (error: Error) => error.message,
  );
  return output;
}

async function filesOf(of: string): Promise<string[]> {
  const files = (await readdir(of, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  return files.map(({ parentPath, name }) => join(parentPath, name).slice(of.length + 1)).sort();
}
