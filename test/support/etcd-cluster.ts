import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { findEtcd } from '../../infra/local/etcd/binary.ts';
import { freePorts } from '../../infra/local/etcd/ports.ts';
import { guard } from '../../infra/local/guard.ts';

const scripts = join(import.meta.dirname, '../../infra/etcd');

/** One node as a machine would run it: infra/etcd/node.sh, restarted when it fails. */
export interface ClusterNode {
  readonly name: string;
  readonly endpoint: string;
  readonly peerUrl: string;
  /** `new` until the cluster has formed, `existing` for later machines. */
  start(state: 'new' | 'existing'): void;
  /** Kills it and does not restart it. */
  stop(): Promise<void>;
  /** Resolves once it answers for the cluster. @throws Error with its last output, after a minute */
  healthy(): Promise<void>;
  loseDisk(): Promise<void>;
  /** Saves a snapshot in the bucket by infra/etcd/snapshot.sh; returns the file's path. */
  snapshot(): Promise<string>;
  /** Runs node.sh until it ends by itself. @throws Error with its output if it fails */
  startOnce(state: 'new' | 'existing'): Promise<string>;
  /** Restores the node's data from a snapshot by infra/etcd/restore.sh. */
  restore(snapshot: string): Promise<void>;
}

const START_AGAIN_MS = 500;
const HEALTH_TIMEOUT_MS = 60_000;

/** The cluster of infra/etcd on loopback: scripts, certificates, and three nodes that are not running yet. */
export async function etcdCluster() {
  const folder = await mkdtemp(join(tmpdir(), 'solotick-cluster-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true }));

  const names = ['etcd-1', 'etcd-2', 'etcd-3'] as const;
  const tls = join(folder, 'tls');
  await run('certificates.sh', [tls, ...names.map((name) => `${name}=localhost`)], process.env);
  const pem = (name: string) => readFile(join(tls, `${name}.pem`), 'utf8');
  const ports = await freePorts(names.length * 2);
  const members = names.map((name, index) => ({
    name,
    peerUrl: `https://localhost:${ports[index * 2]}`,
    endpoint: `https://localhost:${ports[index * 2 + 1]}`,
  }));
  const env: NodeJS.ProcessEnv = {
    PATH: `${await programs(join(folder, 'bin'))}:${process.env.PATH}`,
    BUCKET: join(folder, 'bucket'),
    ETCD_INITIAL_CLUSTER: members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(','),
    ETCD_INITIAL_CLUSTER_TOKEN: 'test',
    ETCDCTL_ENDPOINTS: members.map(({ endpoint }) => endpoint).join(','),
    ETCDCTL_CACERT: join(tls, 'ca.pem'),
    ETCDCTL_CERT: join(tls, 'root.pem'),
    ETCDCTL_KEY: join(tls, 'root-key.pem'),
  };

  const nodes = await Promise.all(members.map((member) => clusterNode(member, { folder, tls, env })));
  stack.defer(async () => {
    await Promise.all(nodes.map((node) => node.stop()));
  });
  const owned = stack.move();
  return {
    ...{ folder, tls, nodes, pem },
    endpoints: members.map(({ endpoint }) => endpoint),
    /** As root, by certificate. @throws Error with etcdctl's complaint */
    etcdctl: async (...args: string[]) => (await promisify(execFile)('etcdctl', args, { env, timeout: 30_000 })).stdout,
    auth: (user: string, lockKey: string, statePrefix: string, password: string) =>
      run('auth.sh', [user, lockKey, statePrefix], env, password),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Links etcd's programs by their own names, wherever they were found. */
async function programs(folder: string): Promise<string> {
  const { etcd, etcdctl } = await findEtcd();
  await mkdir(folder);
  await symlink(etcd, join(folder, 'etcd'));
  await symlink(etcdctl, join(folder, 'etcdctl'));
  const etcdutl = join(dirname(etcdctl), 'etcdutl');
  await access(etcdutl).then(
    () => symlink(etcdutl, join(folder, 'etcdutl')),
    () => undefined,
  );
  // The scripts only call `aws s3 cp FILE s3://BUCKET/…`; here, the bucket is a folder.
  const aws = '#!/bin/sh\nto=/$(echo "$4" | sed s#^s3://##)\nmkdir -p "$(dirname "$to")" && cp "$3" "$to"\n';
  await writeFile(join(folder, 'aws'), aws, { mode: 0o755 });
  return folder;
}

/** @throws Error with the script's whole output if it fails */
async function run(script: string, args: string[], env: NodeJS.ProcessEnv, input = ''): Promise<string> {
  const running = promisify(execFile)(join(scripts, script), args, { env, timeout: 60_000 });
  running.child.stdin?.end(`${input}\n`);
  return await running.then(
    ({ stdout }) => stdout,
    (error) => {
      throw new Error(`${script} failed: ${error.stdout}${error.stderr}`, { cause: error });
    },
  );
}

async function clusterNode(
  { name, endpoint, peerUrl }: Pick<ClusterNode, 'name' | 'endpoint' | 'peerUrl'>,
  { folder, tls, env: shared }: { folder: string; tls: string; env: NodeJS.ProcessEnv },
): Promise<ClusterNode> {
  const own = join(folder, name);
  const dataDir = join(own, 'data');
  await mkdir(own);
  for (const [file, link] of [['ca.pem'], [`${name}.pem`, 'node.pem'], [`${name}-key.pem`, 'node-key.pem']] as const) {
    await symlink(join(tls, file), join(own, link ?? file));
  }
  const env: NodeJS.ProcessEnv = {
    ...shared,
    ETCD_NAME: name,
    ETCD_DATA_DIR: dataDir,
    ETCD_ADVERTISE_CLIENT_URLS: endpoint,
    ETCD_LISTEN_CLIENT_URLS: endpoint.replace('localhost', '127.0.0.1'),
    ETCD_LISTEN_PEER_URLS: peerUrl.replace('localhost', '127.0.0.1'),
    TLS_DIR: own,
  };
  // etcdctl refuses a flag beside a variable of the same meaning.
  const etcdctl = (...args: string[]) =>
    promisify(execFile)('etcdctl', args, { env: { ...env, ETCDCTL_ENDPOINTS: endpoint }, timeout: 30_000 });
  let wanted = new AbortController();
  let keeping: Promise<void> | undefined;
  let output = '';

  async function keep(state: string, { signal }: AbortController) {
    while (!signal.aborted) {
      const child: ChildProcess = spawn(join(scripts, 'node.sh'), {
        env: { ...env, ETCD_INITIAL_CLUSTER_STATE: state },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const ended = once(child, 'close');
      for (const stream of [child.stdout, child.stderr]) {
        stream?.setEncoding('utf8').on('data', (text) => {
          output = (output + text).slice(-4000);
        });
      }
      const endGuard = guard(child.pid!, folder);
      const kill = () => child.kill('SIGKILL');
      signal.addEventListener('abort', kill);
      await ended;
      signal.removeEventListener('abort', kill);
      endGuard();
      await sleep(START_AGAIN_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  return {
    ...{ name, endpoint, peerUrl },
    start(state) {
      wanted = new AbortController();
      keeping = keep(state, wanted);
    },
    async stop() {
      wanted.abort();
      await keeping;
    },
    async healthy() {
      const giveUpAtMs = performance.now() + HEALTH_TIMEOUT_MS;
      for (;;) {
        const answered = await etcdctl('endpoint', 'health').then(
          () => true,
          () => false,
        );
        if (answered) return;
        if (performance.now() > giveUpAtMs) throw new Error(`${name} was not healthy in time:\n${output}`);
        await sleep(200);
      }
    },
    async snapshot() {
      await run('snapshot.sh', [], env);
      const saved = join(env.BUCKET!, 'snapshots');
      return join(saved, (await readdir(saved)).at(-1)!);
    },
    loseDisk: () => rm(dataDir, { recursive: true }),
    startOnce: (state) => run('node.sh', [], { ...env, ETCD_INITIAL_CLUSTER_STATE: state }),
    restore: async (snapshot) => {
      await run('restore.sh', [snapshot], env);
    },
  };
}
