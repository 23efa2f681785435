import { join } from 'node:path';
import { artifact, unpack } from '../bundle/artifact.ts';
import { FUNCTIONS, type FunctionKind, functionName, RETRIES } from '../stack/functions.ts';
import { namePrefix } from '../stage/aws-names.ts';
import type { JobConfig } from '../stage/job-config.ts';
import { type LocalEtcd, startEtcd } from './etcd/etcd.ts';
import { createFunction, type LocalFunction } from './lambda/function.ts';
import { type Invocable, startInvokeApi } from './lambda/invoke-api.ts';
import { type LocalQueue, startQueue } from './queue.ts';
import { type LocalSecrets, startSecrets } from './secrets.ts';

interface Options {
  /** The service directory whose functions are packaged and run; the artifact is unpacked beside it. */
  serviceDir: string;
  service: string;
  stage: string;
  config: JobConfig;
  /** What the job's secret holds. */
  secret: unknown;
  /** Variables that override all others in the functions' environment. */
  env: Record<string, string>;
  /** Receives a line about each step of the start. */
  onProgress?: ((line: string) => void) | undefined;
  /** Receives every line that a function prints. */
  onLog?: ((name: FunctionKind, line: string) => void) | undefined;
}

/** One job's functions on this machine, and what they need beside their source and target. */
export interface JobCloud extends AsyncDisposable {
  config: JobConfig;
  etcd: LocalEtcd;
  secrets: LocalSecrets;
  deadLetters: LocalQueue;
  functions: Record<FunctionKind, LocalFunction>;
  /** Lambda's Invoke API, which knows the functions as `sync`, as `<job>-sync` and by their names in AWS. */
  lambdaUrl: string;
  lockKey: string;
  /** Lists the keys below the lock: its holder and those who wait for it. */
  lockKeys(): Promise<string[]>;
}

/** Starts etcd, Secrets Manager and a queue on loopback, and a job's functions from the same artifact that is deployed. */
export async function startJobCloud(options: Options): Promise<JobCloud> {
  const { serviceDir, service, stage, config, secret, env, onProgress, onLog } = options;
  const { job, memoryMb, timeoutSeconds } = config;
  await using stack = new AsyncDisposableStack();
  const secretId = env.SECRET_ID ?? config.secretId;
  const lockKey = env.LOCK_KEY ?? config.settings.LOCK_KEY ?? `/solotick/${stage}/${job}/lock`;
  const task = join(serviceDir, '../task');
  // Packaging and starting etcd take the longest, so they overlap. If etcd fails, wait for packaging before removing its folder.
  const packaging = artifact(serviceDir, stage).then((zipFile) => unpack(zipFile, task));
  const packagingEnded = packaging.catch(() => undefined);
  stack.defer(() => packagingEnded);
  const etcd = stack.use(await startEtcd(onProgress && { onProgress }));
  onProgress?.(etcd.origin);
  const secrets = stack.use(await startSecrets({ [secretId]: secret }));
  const deadLetters = stack.use(await startQueue());
  const byName: Record<string, Invocable> = {};
  const { url: lambdaUrl } = stack.use(await startInvokeApi(byName));
  await packaging;

  const environment = {
    ...config.settings,
    JOB: job,
    STAGE: stage,
    SERVICE: service,
    SECRET_ID: secretId,
    SHARDS: String(config.shards),
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
  const start = (kind: FunctionKind) => {
    const name = `${namePrefix(service, stage, job)}-${kind}`;
    const fn = createFunction({
      ...{ folder: task, handler: `dist/${kind}.handler`, name, memoryMb, timeoutMs: timeoutSeconds * 1000 },
      env: environment,
      onLog: (line) => onLog?.(kind, line),
    });
    byName[kind] = byName[functionName(job, kind)] = byName[name] = { fn: stack.use(fn), retries: RETRIES[kind] };
    return [kind, fn] as const;
  };
  const kinds = Object.keys(FUNCTIONS) as FunctionKind[];
  const functions = Object.fromEntries(kinds.map(start)) as Record<FunctionKind, LocalFunction>;

  const owned = stack.move();
  return {
    ...{ config, etcd, secrets, deadLetters, functions, lambdaUrl, lockKey },
    async lockKeys() {
      const keys = await etcd.etcdctl(['get', `${lockKey}/`, '--prefix', '--keys-only']);
      return keys.split('\n').filter(Boolean);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
