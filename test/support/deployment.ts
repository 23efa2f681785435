import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CloudFormationClient, CreateStackCommand } from '@aws-sdk/client-cloudformation';
import { CloudWatchClient } from '@aws-sdk/client-cloudwatch';
import { CloudWatchLogsClient } from '@aws-sdk/client-cloudwatch-logs';
import { IAMClient } from '@aws-sdk/client-iam';
import { type FunctionConfiguration, LambdaClient } from '@aws-sdk/client-lambda';
import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { SchedulerClient } from '@aws-sdk/client-scheduler';
import { PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SQSClient } from '@aws-sdk/client-sqs';
import { parse, stringify } from 'yaml';
import { serverless, serviceFolder, unpack } from '../../infra/bundle/artifact.ts';
import { catalogue } from '../../infra/local/demo/catalogue.ts';
import { startSource } from '../../infra/local/demo/source.ts';
import { startTarget } from '../../infra/local/demo/target.ts';
import { startEtcd } from '../../infra/local/etcd/etcd.ts';
import { createFunction } from '../../infra/local/lambda/function.ts';
import { type Invocable, startInvokeApi } from '../../infra/local/lambda/invoke-api.ts';
import { awsEnv, startMoto } from './moto.ts';
import { startPrices } from './prices.ts';
import { testProject } from './project/project.ts';

interface Block {
  schedule: Record<string, unknown>;
  [key: string]: unknown;
}

type StageFile = { jobs: Record<string, Block>; settings: Record<string, string>; [key: string]: unknown };

/**
 * Starts an AWS on loopback to deploy the stage dev to, and everything that the deployed functions reach from there: etcd,
 * and of each of two jobs source and target, whose addresses are in `settings`.
 */
export async function startDeployment() {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'solotick-deploy-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const credentials = { username: 'reader', password: 'reader-password' };
  const records = catalogue();
  const etcd = stack.use(await startEtcd());
  const source = stack.use(await startSource({ records, credentials }));
  const target = stack.use(await startTarget({ token: 'writer-token', regions: ['eu-1'] }));
  const prices = stack.use(await startPrices('prices-key'));
  const functions: Record<string, Invocable> = {};
  const moto = stack.use(await startMoto(stack.use(await startInvokeApi(functions)).url));

  const client = {
    endpoint: moto.url,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  };
  const aws = {
    cloudformation: new CloudFormationClient(client),
    cloudwatch: new CloudWatchClient(client),
    iam: new IAMClient(client),
    lambda: new LambdaClient(client),
    logs: new CloudWatchLogsClient(client),
    s3: new S3Client({ ...client, forcePathStyle: true }),
    scheduler: new SchedulerClient(client),
    secrets: new SecretsManagerClient(client),
    sqs: new SQSClient(client),
  };
  for (const service of Object.values(aws)) stack.defer(() => service.destroy());

  const serviceDir = await serviceFolder(folder, testProject);
  const shell = {
    ...{ PATH: process.env.PATH, HOME: process.env.HOME, ...awsEnv(moto.url) },
    // moto's change sets do not update outputs.
    DEPLOYMENT_METHOD: 'direct',
    SLS_AWS_MONITORING_FREQUENCY: '200',
  };

  const owned = stack.move();
  return {
    ...{ aws, etcd, records, source, target, prices },
    /** Runs a command of osls on the stage dev. */
    serverless: (...args: string[]) => serverless(serviceDir, args, shell),
    /** Changes the stage's file. */
    async edit(change: (config: StageFile) => void) {
      const file = join(serviceDir, 'infra/config/dev.yml');
      const config = parse(await readFile(file, 'utf8'));
      change(config);
      await writeFile(file, stringify(config));
    },
    /** The settings of all jobs, and of each job, with the addresses of etcd, source and target. */
    settings: {
      shared: { ETCD_ENDPOINTS: etcd.endpoints.join(',') },
      models: { SOURCE_URL: source.url, TARGET_URL: target.url, TARGET_REGION_ID: 'eu-1' },
      prices: { SOURCE_URL: prices.url, TARGET_URL: prices.url },
    },
    /** Creates the secret of each job by a stack of its own, and stores its value as an operator does. */
    async createSecrets() {
      const TemplateBody = await readFile(join(serviceDir, 'infra/stack/secret.yml'), 'utf8');
      for (const [job, value] of Object.entries({
        models: { source: credentials, target: { token: 'writer-token' } },
        prices: { key: 'prices-key' },
      })) {
        const SecretId = `solotick/dev/${job}`;
        const Parameters = [{ ParameterKey: 'SecretId', ParameterValue: SecretId }];
        await aws.cloudformation.send(
          new CreateStackCommand({ StackName: `solotick-secret-dev-${job}`, TemplateBody, Parameters }),
        );
        await aws.secrets.send(new PutSecretValueCommand({ SecretId, SecretString: JSON.stringify(value) }));
      }
    },
    /** The last uploaded zip. */
    async fetchZip(Bucket: string): Promise<Buffer> {
      const { Contents = [] } = await aws.s3.send(new ListObjectsV2Command({ Bucket }));
      const Key = Contents.map(({ Key }) => Key ?? '')
        .filter((key) => key.endsWith('.zip'))
        .sort()
        .at(-1);
      const { Body } = await aws.s3.send(new GetObjectCommand({ Bucket, Key }));
      return Buffer.from(await Body!.transformToByteArray());
    },
    /** Makes further invocations of the function run this zip with the function's configuration. */
    async run(
      { FunctionName = '', Handler = '', Timeout = 0, MemorySize = 0, Environment }: FunctionConfiguration,
      zip: Buffer,
    ) {
      const task = join(folder, FunctionName);
      await writeFile(`${task}.zip`, zip);
      await unpack(`${task}.zip`, task);
      const fn = createFunction({
        ...{ folder: task, name: FunctionName, handler: Handler, timeoutMs: Timeout * 1000, memoryMb: MemorySize },
        env: { ...Environment?.Variables, ...awsEnv(moto.url) },
      });
      functions[FunctionName] = { fn: owned.use(fn), retries: 0 };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
