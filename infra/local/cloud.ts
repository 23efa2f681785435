import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { artifact, unpack } from '../bundle/artifact.ts';
import { readStageConfig, type StageConfig } from '../stage/stage-config.ts';
import { catalogue, type Model } from './demo/catalogue.ts';
import { type DemoSource, startSource } from './demo/source.ts';
import { type DemoTarget, startTarget } from './demo/target.ts';
import { type LocalEtcd, startEtcd } from './etcd/etcd.ts';
import { createFunction, type LocalFunction } from './lambda/function.ts';
import { startInvokeApi } from './lambda/invoke-api.ts';
import { type LocalQueue, startQueue } from './queue.ts';
import { temporary } from './remove-at-exit.ts';
import { type LocalSecrets, startSecrets } from './secrets.ts';

export type FunctionName = 'sync' | 'backfill' | 'control';

interface Options {
  /** Its `infra/config/<stage>.yml` gives the settings; local addresses replace the addresses in that file. */
  stage: string;
  /** Variables that override all others in the functions' environment. */
  env?: Record<string, string>;
  /** Receives a line about each step of the start. */
  onProgress?: (line: string) => void;
  /** Receives every line that a function prints. */
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
  /** Lambda's Invoke API, which knows the functions by their short names and by their names in AWS. */
  lambdaUrl: string;
  lockKey: string;
  /** Lists the keys below the lock: its holder and those who wait for it. */
  lockKeys(): Promise<string[]>;
}

/** Starts everything that the functions need on loopback, and the functions from the same artifact that is deployed. */
export async function startCloud({ stage, env = {}, onProgress, onLog }: Options): Promise<LocalCloud> {
  const config = await readStageConfig(stage);
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'solotick-cloud-'));
  stack.use(temporary(folder));

  const credentials = { username: 'solotick', password: 'demo-password' };
  const token = 'demo-token';
  const region = env.TARGET_REGION_ID ?? config.settings.TARGET_REGION_ID ?? 'local';
  const secretId = env.SECRET_ID ?? config.secretId;
  const lockKey = env.LOCK_KEY ?? config.settings.LOCK_KEY ?? `/solotick/${stage}/models/lock`;
  const records = catalogue();
  const task = join(folder, 'task');
  // Packaging and starting etcd take the longest, so they overlap. If etcd fails, wait for packaging before removing its folder.
  const packaging = artifact(folder).then((zipFile) => unpack(zipFile, task));
  const packagingEnded = packaging.catch(() => undefined);
  stack.defer(() => packagingEnded);
  const etcd = stack.use(await startEtcd(onProgress && { onProgress }));
  onProgress?.(etcd.origin);
  const secrets = stack.use(await startSecrets({ [secretId]: { source: credentials, target: { token } } }));
  const source = stack.use(await startSource({ records, credentials }));
  const target = stack.use(await startTarget({ token, regions: [region] }));
  const deadLetters = stack.use(await startQueue());
  const byName: Record<string, LocalFunction> = {};
  const { url: lambdaUrl } = stack.use(await startInvokeApi(byName));
  await packaging;

  const environment = {
    ...config.settings,
    JOB: 'models',
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
    AWS_ENDPOINT_URL_LAMBDA: lambdaUrl,
    DEAD_LETTER_QUEUE_URL: deadLetters.url,
    ...env,
  };
  const start = (shortName: FunctionName) => {
    const name = `solotick-${stage}-${shortName}`;
    const { memoryMb, timeoutSeconds } = config;
    const fn = createFunction({
      ...{ folder: task, handler: `dist/${shortName}.handler`, name, memoryMb, timeoutMs: timeoutSeconds * 1000 },
      env: environment,
      onLog: (line) => onLog?.(shortName, line),
    });
    byName[shortName] = byName[name] = stack.use(fn);
    return fn;
  };
  const functions = { sync: start('sync'), backfill: start('backfill'), control: start('control') };

  const owned = stack.move();
  return {
    ...{ config, records, etcd, secrets, source, target, deadLetters, functions, lambdaUrl, lockKey },
    async lockKeys() {
      const keys = await etcd.etcdctl(['get', `${lockKey}/`, '--prefix', '--keys-only']);
      return keys.split('\n').filter(Boolean);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
