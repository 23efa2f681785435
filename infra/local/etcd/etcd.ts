import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findEtcd } from './binary.ts';
import { cleanEnv, type EtcdNode } from './node.ts';
import { killAll, type NodesOptions, startNodes } from './nodes.ts';

const run = promisify(execFile);

interface Options extends NodesOptions {
  /** Where to keep the data, even after the end. By default, a temporary folder. */
  dataDir?: string;
  onProgress?: (line: string) => void;
}

export interface LocalEtcd extends AsyncDisposable {
  endpoints: string[];
  nodes: EtcdNode[];
  version: string;
  /** Says in one line which etcd this is. */
  origin: string;
  etcdctlPath: string;
  /** Runs etcdctl against all nodes and returns its standard output. @throws Error with etcdctl's complaint */
  etcdctl(args: string[]): Promise<string>;
  /** Starts an etcdctl that does not end by itself (`lock`, `watch`); the caller ends it. */
  spawnEtcdctl(args: string[]): ChildProcess;
}

/** Starts a real etcd of one or three nodes on free loopback ports. Resolves once all nodes are healthy. */
export async function startEtcd(options: Options = {}): Promise<LocalEtcd> {
  const { onProgress, tls } = options;
  const { etcd, etcdctl, version, origin } = await findEtcd(onProgress && { onProgress });
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'solotick-etcd-')));
  const scratch = options.dataDir ? '' : dataDir;
  await using stack = new AsyncDisposableStack();
  stack.defer(() => (scratch ? rm(scratch, { recursive: true, force: true }) : undefined));

  const nodes = await startNodes({ etcd, dataDir, scratch }, options);
  stack.defer(() => killAll(nodes));
  const endpoints = nodes.map(({ endpoint }) => endpoint);
  const clientArgs = [
    `--endpoints=${endpoints.join(',')}`,
    ...(tls ? [`--cacert=${tls.ca ?? tls.cert}`] : []),
    ...(tls?.client ? [`--cert=${tls.client.cert}`, `--key=${tls.client.key}`] : []),
  ];
  const owned = stack.move();
  return {
    endpoints,
    nodes,
    version,
    origin: `etcd ${version} from ${origin}`,
    etcdctlPath: etcdctl,
    async etcdctl(args) {
      const { stdout } = await run(etcdctl, [...clientArgs, ...args], { env: cleanEnv(), timeout: 30_000 });
      return stdout;
    },
    spawnEtcdctl: (args) => spawn(etcdctl, [...clientArgs, ...args], { env: cleanEnv() }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
