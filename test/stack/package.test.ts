import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { serverless, serviceFolder, unpack } from '../../infra/bundle/artifact.ts';
import { build } from '../../infra/bundle/build.ts';
import { readStageConfig } from '../../infra/stage/stage-config.ts';
import { testProject } from '../support/project/project.ts';
import { prices } from '../support/templates.ts';

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
  serviceDir = await serviceFolder(folder, testProject);
});

test('The zip contains exactly the bundle of infra/bundle/build.ts.', async () => {
  await mkdir(join(serviceDir, 'dist'));
  await writeFile(join(serviceDir, 'dist/stale.js'), '// of an earlier build');
  await serverless(serviceDir, ['package'], bareShell);

  const unpacked = join(folder, 'unpacked');
  await unpack(join(serviceDir, '.serverless/solotick.zip'), unpacked);
  const built = join(folder, 'built');
  await build({ project: serviceDir, outDir: join(built, 'dist') });
  const files = await filesOf(unpacked);
  assert.deepEqual(files, await filesOf(built));
  for (const file of files)
    assert.deepEqual(await readFile(join(unpacked, file)), await readFile(join(built, file)), file);
});

for (const stage of ['dev', 'prod']) {
  test(`The template of ${stage} has the schedule, the settings and the permissions that infra/config/${stage}.yml asks for.`, async () => {
    await serverless(serviceDir, ['package', '--stage', stage], bareShell);
    const { jobs } = await readStageConfig(stage, serviceDir);
    const config = jobs[0]!;
    const resources = await compiledResources();

    const schedule = resources.ModelsSyncSchedule;
    assert.equal(schedule.Type, 'AWS::Scheduler::Schedule');
    assert.equal(schedule.Properties.ScheduleExpression, config.schedule.expression);
    assert.equal(schedule.Properties.ScheduleExpressionTimezone, config.schedule.timezone);
    assert.equal(schedule.Properties.State, config.schedule.enabled ? 'ENABLED' : 'DISABLED');
    assert.equal(schedule.Properties.GroupName, undefined);
    const { Target } = schedule.Properties;
    assert.deepEqual(JSON.parse(Target.Input), { kind: 'tick', scheduledTime: '<aws.scheduler.scheduled-time>' });
    assert.deepEqual(Target.Arn, arnOf('ModelsDashsyncLambdaFunction'));

    for (const name of ['Sync', 'Backfill', 'Control']) {
      const kind = name.toLowerCase();
      const { Properties } = resources[`ModelsDash${kind}LambdaFunction`];
      assert.equal(Properties.FunctionName, `solotick-${stage}-models-${kind}`);
      assert.equal(Properties.Runtime, 'nodejs24.x');
      assert.deepEqual(Properties.Architectures, ['arm64']);
      assert.equal(Properties.Handler, `dist/${kind}.handler`);
      assert.deepEqual(
        [Properties.MemorySize, Properties.Timeout, Properties.TracingConfig],
        [config.memoryMb, config.timeoutSeconds, { Mode: 'Active' }],
      );
      assert.deepEqual(Properties.Role, { 'Fn::Sub': `\${Models${name}Role.Arn}` });
      assert.deepEqual(Properties.Environment.Variables, {
        ...{
          JOB: 'models',
          STAGE: stage,
          SERVICE: 'solotick',
          SECRET_ID: config.secretId,
          ...config.settings,
          SHARDS: '1',
        },
        ...(name !== 'Control' && { DEAD_LETTER_QUEUE_URL: { Ref: 'ModelsDeadLetters' } }),
      });
      assert.equal(resources[`ModelsDash${kind}LogGroup`].Properties.RetentionInDays, config.logRetentionDays);
      // What `control` does may be repeated, so its asynchronous events need nothing of their own.
      const asynchronous = resources[`ModelsDash${kind}LambdaEvConf`]?.Properties;
      if (name === 'Control') assert.equal(asynchronous, undefined);
      else {
        // A step of a detached backfill that was killed is delivered again.
        const [retries, maxAge] = name === 'Backfill' ? [2, 6 * 3600] : [0, 15 * 60];
        assert.equal(asynchronous.MaximumRetryAttempts, retries);
        assert.equal(asynchronous.MaximumEventAgeInSeconds, maxAge);
        const OnFailure = { Destination: arnOf('ModelsFailedInvocations') };
        assert.deepEqual(asynchronous.DestinationConfig, { OnFailure });
      }
    }

    const own = (name: string) => ({
      logs: `logs:log-group:/aws/lambda/solotick-${stage}-models-${name}:*`,
      secret: `secretsmanager:secret:${config.secretId}-??????`,
      tracing: '*',
    });
    const queues = [arnOf('ModelsDeadLetters'), arnOf('ModelsFailedInvocations')];
    assert.deepEqual(grantsOf(resources.ModelsSyncRole), { ...own('sync'), queues });
    const goOn = ['backfill', 'sync'].map((name) => `lambda:function:solotick-${stage}-models-${name}`);
    assert.deepEqual(grantsOf(resources.ModelsBackfillRole), { ...own('backfill'), queues, 'go-on': goOn });
    assert.deepEqual(grantsOf(resources.ModelsControlRole), own('control'));
    assert.equal(resources.IamRoleLambdaExecution, undefined);
    for (const name of ['SyncScheduleUndelivered', 'FailedInvocations', 'DeadLetters'])
      assert.equal(resources[`Models${name}`].Properties.SqsManagedSseEnabled, true);
  });
}

test('Each job has parts of its own, under its own name and with its own secret; role of the schedules and dashboard are shared.', async () => {
  await addJobs({ prices: { ...prices, memoryMb: 256, alarms: false } });
  await serverless(serviceDir, ['package'], bareShell);
  const resources = await compiledResources();
  const partsOf = (id: string) =>
    Object.keys(resources).flatMap((name) => (name.startsWith(id) ? [name.slice(id.length)] : []));
  assert.deepEqual(
    partsOf('Prices').sort(),
    partsOf('Models')
      .filter((name) => !name.endsWith('Alarm'))
      .sort(),
  );
  const { Properties: sync } = resources.PricesDashsyncLambdaFunction;
  assert.deepEqual(
    [sync.FunctionName, sync.MemorySize, sync.Handler],
    ['solotick-dev-prices-sync', 256, 'dist/sync.handler'],
  );
  assert.partialDeepStrictEqual(sync.Environment.Variables, { JOB: 'prices', SECRET_ID: 'solotick/dev/prices' });
  assert.equal(sync.Environment.Variables.TARGET_REGION_ID, undefined);
  for (const name of ['Sync', 'Backfill', 'Control']) {
    assert.equal(grantsOf(resources[`Prices${name}Role`]).secret, 'secretsmanager:secret:solotick/dev/prices-??????');
    assert.equal(grantsOf(resources[`Models${name}Role`]).secret, 'secretsmanager:secret:solotick/dev/models-??????');
  }
  const { Statement } = resources.ScheduleRole.Properties.Policies[0].PolicyDocument;
  assert.deepEqual(
    Statement.map(({ Resource }: { Resource: unknown }) => Resource),
    [
      [arnOf('ModelsDashsyncLambdaFunction'), arnOf('PricesDashsyncLambdaFunction')],
      [arnOf('ModelsSyncScheduleUndelivered'), arnOf('PricesSyncScheduleUndelivered')],
    ],
  );
  const rows = JSON.stringify(resources.Dashboard).match(/solotick-dev-\w+-dead-letters/g);
  assert.deepEqual([...new Set(rows)].sort(), ['solotick-dev-models-dead-letters', 'solotick-dev-prices-dead-letters']);
});

test('A job without its block has no part in the template, and the others stay as they are.', async () => {
  await serverless(serviceDir, ['package'], bareShell);
  const before = await compiledResources();
  await addJobs({ prices });
  await serverless(serviceDir, ['package'], bareShell);
  const both = await compiledResources();
  const queries = ['RunsQuery', 'FailedRecordsQuery', 'RecordQuery'];
  const shared = ['ScheduleRole', 'Dashboard', 'BackfillFailedAlarm', 'PricesDashsyncLambdaFunction', ...queries];
  for (const [name, resource] of Object.entries<Resource>(before))
    if (!shared.includes(name)) assert.deepEqual(withoutKey(both[name]), withoutKey(resource), name);
  assert.deepEqual(
    Object.keys(both).filter((name) => !(name in before) && !name.startsWith('Prices')),
    [],
  );
});

test('A zip, the functions, the queues and all other names follow the name of the service.', async () => {
  await edit('../../serverless', (yaml) => yaml.replace(/^service:.*/m, 'service: acme-sync'));
  await serverless(serviceDir, ['package'], bareShell);
  assert.ok((await readdir(join(serviceDir, '.serverless'))).includes('acme-sync.zip'));
  const text = JSON.stringify(await compiledResources());
  assert.deepEqual(
    [...new Set(text.match(/[\w/.-]*solotick[\w/.-]*/g))].sort(),
    // The namespace of the metrics, and what the stage's file says.
    ['solotick', 'solotick/dev/models', 'solotick/dev/models-'],
  );
});

test('Twenty jobs fit into one stack, with all optional parts and a shard more; with many shards they are refused.', async () => {
  const names = Array.from({ length: 19 }, (_, index) => `job-${index}`);
  for (const name of names)
    await writeFile(join(serviceDir, `functions/jobs/${name}.ts`), "export { default } from './prices.ts';\n");
  const blocks = (shards: number) => Object.fromEntries(names.map((name) => [name, { ...prices, shards }]));
  const vpc = { subnetIds: ['subnet-1'], securityGroupIds: ['sg-1'], secretsEndpoint: { vpcId: 'vpc-1' } };
  await addJobs(blocks(1), {
    alarmAddress: 'on-call@example.com',
    vpc,
    secretKeyArn: 'arn:aws:kms:us-east-1:111111111111:key/1',
  });
  await edit('dev', (yaml) => yaml.replace('shards: 1', 'shards: 2'));
  await serverless(serviceDir, ['package'], bareShell);
  const file = join(serviceDir, '.serverless/cloudformation-template-update-stack.json');
  const template = JSON.parse(await readFile(file, 'utf8'));
  const count = Object.keys(template.Resources).length;
  assert.ok(count <= 500, `${count} resources`);
  // What is uploaded has no white space; CloudFormation takes a megabyte.
  assert.ok(JSON.stringify(template).length < 1_000_000);

  await addJobs(blocks(2));
  const output = await failureOf(serverless(serviceDir, ['package'], bareShell));
  assert.match(
    output,
    /infra\/config\/dev\.yml is invalid: its jobs and shards need 5\d\d resources, and one stack of CloudFormation takes 500: use fewer shards/,
  );
});

test('Roles have permissions for a network, a key and a continuation only if the stage needs them.', async () => {
  const key = 'arn:aws:kms:eu-central-1:111111111111:key/1';
  await edit('dev', (yaml) =>
    yaml
      .replace(
        'memoryMb:',
        `secretKeyArn: ${key}\nvpc: { subnetIds: [subnet-1, subnet-2], securityGroupIds: [sg-1] }\nmemoryMb:`,
      )
      .replace('settings:', 'settings:\n  CONTINUE: self'),
  );
  await serverless(serviceDir, ['package'], bareShell);
  const resources = await compiledResources();
  const { network, continue: itself, 'secret-key': decrypt } = grantsOf(resources.ModelsSyncRole);
  assert.deepEqual([network, itself, decrypt], ['*', 'lambda:function:solotick-dev-models-sync', key]);
  assert.deepEqual(Object.keys(grantsOf(resources.ModelsControlRole)), [
    'logs',
    'secret',
    'secret-key',
    'tracing',
    'network',
  ]);
  const { continue: never, 'go-on': goOn } = grantsOf(resources.ModelsBackfillRole);
  assert.deepEqual(
    [never, goOn],
    [undefined, ['lambda:function:solotick-dev-models-backfill', 'lambda:function:solotick-dev-models-sync']],
  );
  const { VpcConfig } = resources.ModelsDashsyncLambdaFunction.Properties;
  assert.deepEqual(VpcConfig, { SubnetIds: ['subnet-1', 'subnet-2'], SecurityGroupIds: ['sg-1'] });
  assert.equal(resources.SecretsEndpoint, undefined);
});

test('A tick may invoke its own function also where one that found the lock held follows at once, and not by default.', async () => {
  const grantOf = async () => {
    await serverless(serviceDir, ['package'], bareShell);
    return grantsOf((await compiledResources()).ModelsSyncRole).continue;
  };
  assert.equal(await grantOf(), undefined);
  await edit('dev', (yaml) => yaml.replace('settings:', 'settings:\n  OVERLAP: follow'));
  assert.equal(await grantOf(), 'lambda:function:solotick-dev-models-sync');
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
  for (const name of ['sync', 'backfill', 'control']) {
    const { Variables } = resources[`ModelsDash${name}LambdaFunction`].Properties.Environment;
    assert.match(JSON.stringify(Variables.AWS_ENDPOINT_URL_SECRETS_MANAGER), /https:.*"SecretsEndpoint","DnsEntries"/);
  }
});

test('A disabled schedule with a flexible window is deployed as such.', async () => {
  await edit('dev', (yaml) =>
    yaml.replace(/enabled: .*/, 'enabled: false').replace(/flexibleWindowMinutes: .*/, 'flexibleWindowMinutes: 5'),
  );
  await serverless(serviceDir, ['package'], bareShell);
  const { Properties } = (await compiledResources()).ModelsSyncSchedule;
  assert.equal(Properties.State, 'DISABLED');
  assert.deepEqual(Properties.FlexibleTimeWindow, { Mode: 'FLEXIBLE', MaximumWindowInMinutes: 5 });
});

test('Each shard has a schedule with the shard in its input.', async () => {
  await edit('dev', (yaml) => yaml.replace('shards: 1', 'shards: 2'));
  await serverless(serviceDir, ['package'], bareShell);
  const resources = await compiledResources();
  assert.equal(resources.ModelsSyncSchedule, undefined);
  assert.equal(resources.ModelsDashsyncLambdaFunction.Properties.Environment.Variables.SHARDS, '2');
  for (const index of [0, 1]) {
    const { Name, Target } = resources[`ModelsSyncSchedule${index}Of2`].Properties;
    assert.equal(Name, `solotick-dev-models-sync-${index}-of-2`);
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
      .replace('TARGET_REGION_ID: eu-1', 'TARGET_REGION_ID: ..')
      .replace('settings:', 'settings:\n  LOCK_TTL_SECONDS: 1'),
  );
  const output = await failureOf(serverless(serviceDir, ['package'], bareShell));
  assert.match(output, /infra\/config\/dev\.yml/);
  for (const fault of [
    'jobs.models.schedule.timezon is not a known key',
    'memoryMb must be a whole number from 128 to 10240',
    'TARGET_URL is missing',
    'jobs.models.settings.TARGET_URLL is not a known key',
    'LOCK_TTL_SECONDS must be a whole number from 5 to 3600',
    'TARGET_REGION_ID must not be',
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
  const { jobs } = await readStageConfig('dev', serviceDir);
  assert.equal(jobs[0]?.settings.TARGET_REGION_ID, '0012');
});

test('invoke local runs a fresh bundle, and the settings of the shell and of .env override those of the stage.', async () => {
  await mkdir(join(serviceDir, 'dist'));
  await writeFile(join(serviceDir, 'dist/control.js'), 'throw new Error("this is of an earlier build")');
  await writeFile(join(serviceDir, '.env'), 'CONCURENCY=5\nTARGET_REGION_ID=\nAWS_PROFILE=none\n');
  const env = { ...bareShell, LOCK_TTL_SECONDS: '1' };
  // With one job, its function needs no job in its name.
  for (const name of ['control', 'models-control']) {
    const invocation = ['invoke', 'local', '--function', name, '--data', '{"action":"status"}'];
    const output = await failureOf(serverless(serviceDir, invocation, env));
    assert.match(output, /"errorType": "SettingsError"/);
    assert.match(output, /"2 setting\(s\) missing or malformed: [^"]*TARGET_REGION_ID is missing/);
    assert.match(output, /LOCK_TTL_SECONDS must be a whole number from 5 to 3600/);
    assert.match(output, /\.env: CONCURENCY is not a known setting/);
    assert.doesNotMatch(output, /AWS_PROFILE is not/);
  }
});

test('invoke local runs the function of the job that --job names, which several jobs need.', async () => {
  await addJobs({ prices });
  await writeFile(join(serviceDir, '.env'), 'SOURCE_URL=none\n');
  const invoke = (...more: string[]) =>
    failureOf(serverless(serviceDir, ['invoke', 'local', '--function', 'control', '--data', '{}', ...more], bareShell));
  assert.match(await invoke(), /say which job: --job models, or --job prices/);
  assert.match(await invoke('--job', 'contacts'), /there is no job contacts: say --job models, or --job prices/);
  const output = await invoke('--job', 'prices');
  assert.match(output, /"1 setting\(s\) missing or malformed: SOURCE_URL must be/);
});

/** Adds blocks of jobs, and keys at the top, to dev's file. */
async function addJobs(blocks: Record<string, object>, top: object = {}) {
  await edit('dev', (yaml) => {
    const file = parse(yaml);
    return stringify({ ...file, ...top, jobs: { ...file.jobs, ...blocks } });
  });
}

/** A resource without the place of the code, which has the time in it. */
const withoutKey = (resource: Resource) => {
  const { Code: _place, ...properties } = resource.Properties;
  return { ...resource, Properties: properties };
};

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
      const prefix = /^arn:\$\{AWS::Partition\}:(\w+):\$\{AWS::Region\}:\$\{AWS::AccountId\}:/;
      const arns = [Resource].flat().map((one) => {
        const arn = (one as { 'Fn::Sub'?: string })['Fn::Sub'] ?? one;
        return typeof arn === 'string' ? arn.replace(prefix, '$1:') : arn;
      });
      return [PolicyName, Array.isArray(Resource) ? arns : arns[0]];
    }),
  );
}

interface Resource {
  Properties: { Code?: unknown };
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
