import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { job } from '../../functions/job.ts';
import { artifact, unpack } from '../bundle/artifact.ts';
import { readStageConfig, type StageConfig } from '../stage/stage-config.ts';
import { catalogue, type Model } from './demo/catalogue.ts';
import { type DemoSource, startSource } from './demo/source.ts';
import { type DemoTarget, startTarget } from './demo/target.ts';
import { type LocalEtcd, startEtcd } from './etcd/etcd.ts';
import { createFunction, type LocalFunction } from './lambda/function.ts';
import { startInvokeApi } from './lambda/invoke-api.ts';
import { type LocalQueue, startQueue } from './queue.ts';
import { removeAtExit } from './remove-at-exit.ts';
import { type LocalSecrets, startSecrets } from './secrets.ts';

export type FunctionName = 'sync' | 'backfill' | 'control';

interface Options {
  /** Whose `infra/config/<stage>.yml` gives the settings; what that file says of addresses is replaced by local ones. */
  stage: string;
  /** Go before everything else in the functions' environment. */
  env?: Record<string, string>;
  /** Is told what happens, a line at a time. */
  onProgress?: (line: string) => void;
  /** Is told of every line that a function prints. */
  onLog?: (name: FunctionName, line: string) => void;
}

export interface LocalCloud extends AsyncDisposable {
  config: StageConfig;
  records: Model[];
  etcd: LocalEtcd;
  secrets: LocalSecrets;
  source: DemoSource;
  target: DemoTarget;
  deadLetters: LocalQueue;
  functions: Record<FunctionName, LocalFunction>;
  /** Lambda's Invoke API for the functions, by their short names and those they have when they are deployed. */
  lambdaUrl: string;
  lockKey: string;
  /** The keys below the lock: its holder and those who wait for it. */
  lockKeys(): Promise<string[]>;
}

/** Starts all that the functions need on loopback, and the functions from the very artifact that is deployed. */
export async function startCloud({ stage, env = {}, onProgress, onLog }: Options): Promise<LocalCloud> {
  const config = await readStageConfig(stage);
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'solotick-cloud-'));
  const callOff = removeAtExit(folder);
  stack.defer(async () => {
    await rm(folder, { recursive: true, force: true });
    callOff();
  });

  const credentials = { username: 'solotick', password: 'demo-password' };
  const token = 'demo-token';
  const region = env.TARGET_REGION_ID ?? config.settings.TARGET_REGION_ID ?? 'local';
  const secretId = env.SECRET_ID ?? config.secretId;
  const records = catalogue();
  // Packaging and etcd take the longest, so they start together; where one fails, the other is waited for.
  const packaging = artifact(folder).then((zipFile) => unpack(zipFile, join(folder, 'task')));
  const packagingEnded = packaging.catch(() => undefined);
  stack.defer(() => packagingEnded);
  const etcd = stack.use(await startEtcd(onProgress && { onProgress }));
  onProgress?.(etcd.origin);
  const secrets = stack.use(await startSecrets({ [secretId]: { source: credentials, target: { token } } }));
  const source = stack.use(await startSource({ records, credentials }));
  const target = stack.use(await startTarget({ token, regions: [region] }));
  const deadLetters = stack.use(await startQueue());
  const byName: Record<string, LocalFunction> = {};
  const lambda = stack.use(await startInvokeApi(byName));
  await packaging;

  const lockKey = env.LOCK_KEY ?? config.settings.LOCK_KEY ?? `/solotick/${stage}/${job.name}/lock`;
  const create = (name: FunctionName) => {
    const fn = stack.use(
      createFunction({
        folder: join(folder, 'task'),
        handler: `dist/${name}.handler`,
        name: `solotick-${stage}-${name}`,
        timeoutMs: config.timeoutSeconds * 1000,
        memoryMb: config.memoryMb,
        env: {
          ...config.settings,
          STAGE: stage,
          SECRET_ID: secretId,
          SOURCE_URL: source.url,
          TARGET_URL: target.url,
          TARGET_REGION_ID: region,
          ETCD_ENDPOINTS: etcd.endpoints.join(','),
          LOCK_KEY: lockKey,
          AWS_REGION: 'us-east-1',
          AWS_ACCESS_KEY_ID: 'local',
          AWS_SECRET_ACCESS_KEY: 'local',
          AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url,
          AWS_ENDPOINT_URL_LAMBDA: lambda.url,
          DEAD_LETTER_QUEUE_URL: deadLetters.url,
          ...env,
        },
        onLog: (line) => onLog?.(name, line),
      }),
    );
    byName[name] = byName[`solotick-${stage}-${name}`] = fn;
    return fn;
  };
  const functions = { sync: create('sync'), backfill: create('backfill'), control: create('control') };

  const owned = stack.move();
  return {
    config,
    records,
    etcd,
    secrets,
    source,
    target,
    deadLetters,
    functions,
    lambdaUrl: lambda.url,
    lockKey,
    async lockKeys() {
      const keys = await etcd.etcdctl(['get', `${lockKey}/`, '--prefix', '--keys-only']);
      return keys.split('\n').filter(Boolean);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
