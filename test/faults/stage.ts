import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startSource } from '../../infra/local/demo/source.ts';
import { type DemoTarget, startTarget } from '../../infra/local/demo/target.ts';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { startSecrets } from '../../infra/local/secrets.ts';
import { connectEtcd } from '../../lib/lock/etcd.ts';
import { currentHolder } from '../../lib/lock/holder.ts';
import { ask } from '../../lib/lock/query.ts';
import { type BulkTarget, serveBulkTarget } from '../support/bulk-target.ts';
import { idOf, type Kind, startSourceOf } from '../support/kinds-of-job.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

/** How a tick ended: a status, a skip's reason, an error's name, or `killed`. */
export interface Outcome {
  label: string;
  token?: string;
  /** Records read in this run, and in the whole pass. */
  read?: number;
  passRead?: number;
}

/** A process that runs ticks, with its own network path to etcd. */
export interface Contender {
  readonly alive: boolean;
  /** One for each of etcd's nodes. */
  proxies: TcpProxy[];
  tick(event?: unknown): Promise<Outcome>;
  signal(signal: NodeJS.Signals): void;
  kill(): Promise<void>;
}

/** The servers that contenders need, all real and on loopback. */
export interface Stage extends AsyncDisposable {
  etcd: LocalEtcd;
  target: DemoTarget;
  /** The target of kinds of job that write many records at once. */
  bulkTarget: BulkTarget;
  /** Contenders that start from now on run a job of this kind; only in a stage that began with one. */
  become(kind: Kind): void;
  startContender(lockKey: string): Promise<Contender>;
  isFree(lockKey: string): Promise<boolean>;
  leases(): Promise<number>;
}

/** Starts etcd, a source of `records` records, a target that compares fencing tokens, and the secret. */
export async function startStage(options: {
  records: number;
  latencyMs: number;
  ttlSeconds: number;
  nodes?: 1 | 3;
  pageSize?: number;
  /** The kind of the job, instead of the shipped one. */
  kind?: Kind;
}): Promise<Stage> {
  const { records: count, latencyMs, ttlSeconds, nodes = 1, pageSize = 1000, kind } = options;
  await using stack = new AsyncDisposableStack();
  const etcd = stack.use(await startEtcd({ nodes }));
  const credentials = { username: 'faults', password: 'faults' };
  const records = Array.from({ length: count }, (_, index) => ({
    get id() {
      return ofKind ? idOf(ofKind.kind, index) : `record-${index}`;
    },
    name: `Record ${index}`,
    // It has always just changed, so each run has every record to write.
    get updatedAt() {
      return new Date().toISOString();
    },
    limit: { context: index, output: index },
  }));
  const token = 'faults';
  const ofKind = kind && stack.use(await startSourceOf({ kind, records, credentials, token }));
  const source = ofKind ?? stack.use(await startSource({ records, credentials, pageSize }));
  const target = stack.use(await startTarget({ token, regions: ['faults'], latencyMs, admits: ofKind?.admitsWriter }));
  const bulkTarget = stack.use(await serveBulkTarget());
  bulkTarget.before = () => sleep(latencyMs);
  const secrets = stack.use(await startSecrets({ faults: { source: credentials, target: { token } } }));
  const observer = stack.use(connectEtcd(etcd.endpoints));
  const env = {
    PATH: process.env.PATH ?? '',
    STAGE: 'faults',
    SECRET_ID: 'faults',
    SOURCE_URL: source.url,
    TARGET_URL: target.url,
    TARGET_REGION_ID: 'faults',
    CONCURRENCY: '3',
    LOCK_TTL_SECONDS: String(ttlSeconds),
    POWERTOOLS_LOG_LEVEL: 'SILENT',
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url,
  };
  const owned = stack.move();
  return {
    etcd,
    target,
    bulkTarget,
    become(kind) {
      ofKind!.kind = kind;
    },
    async startContender(lockKey) {
      const proxies = await Promise.all(etcd.endpoints.map(startTcpProxy));
      for (const proxy of proxies) owned.use(proxy);
      const endpoints = proxies.map(({ url }) => url).join(',');
      const own = { LOCK_KEY: lockKey, STATE_PREFIX: `${lockKey}-state/`, ETCD_ENDPOINTS: endpoints };
      const ofJob = ofKind && {
        ...{ KIND: JSON.stringify(ofKind.kind), TOKEN_URL: ofKind.tokenUrl },
        ...(ofKind.kind.bulk && { TARGET_URL: bulkTarget.url }),
      };
      const contender = await startContender({ ...env, ...own, ...ofJob }, proxies);
      owned.defer(() => contender.kill());
      return contender;
    },
    async isFree(lockKey) {
      const budget = { attemptMs: 5000, totalMs: 10_000 };
      return (await ask(observer, 'look', currentHolder(lockKey), budget)) === undefined;
    },
    async leases() {
      const lines = (await etcd.etcdctl(['lease', 'list'])).split('\n');
      return lines.filter((line) => /^[0-9a-f]{8,}$/.test(line.trim())).length;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function startContender(env: Record<string, string>, proxies: TcpProxy[]): Promise<Contender> {
  const child = fork(join(import.meta.dirname, 'contender.ts'), {
    env,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    execArgv: [],
  });
  const exited = once(child, 'exit');
  await once(child, 'message');
  return {
    proxies,
    get alive() {
      return child.exitCode === null && child.signalCode === null;
    },
    async tick(event = {}) {
      const answered = once(child, 'message');
      child.send(event as object, () => undefined);
      const answer = await Promise.race([answered, exited.then(() => undefined)]);
      if (!answer) return { label: 'killed' };
      const [{ result, error }] = answer;
      if (error) return { label: error.name };
      const { status, reason, fencingToken, report, pass } = result;
      const label = status === 'skipped' ? reason : status;
      return { label, token: fencingToken, read: report.read, passRead: pass?.read };
    },
    signal: (signal) => child.kill(signal),
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
