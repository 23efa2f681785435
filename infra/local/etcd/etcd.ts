import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { guard } from '../guard.ts';
import { findEtcd } from './binary.ts';

const run = promisify(execFile);

interface Options {
  nodes?: 1 | 3;
  /** Where to keep the data; kept at the end. By default a temporary folder, removed at the end. */
  dataDir?: string;
  extraArgs?: string[];
  /** Paths of PEM files. With `ca`, clients must show a certificate signed by it; etcdctl shows `client`. */
  tls?: { cert: string; key: string; ca?: string; client?: { cert: string; key: string } };
  onProgress?: (line: string) => void;
}

export interface EtcdNode {
  readonly endpoint: string;
  readonly pid: number;
  /** Sends the signal; where the signal ends the process (any but SIGSTOP and SIGCONT), resolves once it has ended. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Kills the node if it runs and starts it again on its ports and data; resolves once it is healthy. */
  restart(): Promise<void>;
}

export interface LocalEtcd extends AsyncDisposable {
  endpoints: string[];
  nodes: EtcdNode[];
  version: string;
  /** One line on which etcd this is. */
  origin: string;
  /** Of the program that belongs to it. */
  etcdctlPath: string;
  /** Runs etcdctl against all nodes and returns its standard output. @throws Error with what etcdctl complained of. */
  etcdctl(args: string[]): Promise<string>;
  /** Starts etcdctl, for what does not end by itself (`lock`, `watch`); ending it is up to the caller. */
  spawnEtcdctl(args: string[]): ChildProcess;
}

const HEALTH_TIMEOUT_MS = 20_000;

/** Starts a real etcd of one or three nodes on free loopback ports. Resolves once all nodes are healthy. */
export async function startEtcd(options: Options = {}): Promise<LocalEtcd> {
  const { onProgress } = options;
  const binary = await findEtcd(onProgress && { onProgress });
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'solotick-etcd-')));
  const scratch = options.dataDir ? '' : dataDir;
  await using stack = new AsyncDisposableStack();
  stack.defer(() => (scratch ? rm(scratch, { recursive: true, force: true }) : undefined));

  const nodes = stack.use(await startNodes(binary.etcd, dataDir, scratch, options));
  const endpoints = nodes.list.map((node) => node.endpoint);
  const { tls } = options;
  const clientArgs = [
    `--endpoints=${endpoints.join(',')}`,
    ...(tls ? [`--cacert=${tls.ca ?? tls.cert}`] : []),
    ...(tls?.client ? [`--cert=${tls.client.cert}`, `--key=${tls.client.key}`] : []),
  ];
  const owned = stack.move();
  return {
    endpoints,
    nodes: nodes.list,
    version: binary.version,
    origin: `etcd ${binary.version} from ${binary.origin}`,
    etcdctlPath: binary.etcdctl,
    async etcdctl(args) {
      const { stdout } = await run(binary.etcdctl, [...clientArgs, ...args], { env: cleanEnv(), timeout: 30_000 });
      return stdout;
    },
    spawnEtcdctl: (args) => spawn(binary.etcdctl, [...clientArgs, ...args], { env: cleanEnv() }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** etcd and etcdctl take settings from ETCD_ and ETCDCTL_ variables, and this project's own begin so, too. */
function cleanEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^ETCD(CTL)?_/.test(name)));
}

class PortTaken extends Error {}

/** A port that was free a moment ago may be taken by now: then etcd says so, and other ports are tried. */
async function startNodes(etcd: string, dataDir: string, scratch: string, options: Options) {
  for (let attempt = 1; ; attempt++) {
    const nodes = await planNodes(etcd, dataDir, scratch, options);
    const started = await Promise.allSettled(nodes.map((node) => node.restart()));
    const reasons = started.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    const list = { list: nodes, [Symbol.asyncDispose]: () => killAll(nodes) };
    if (reasons.length === 0) return list;
    await killAll(nodes);
    // The other nodes of a cluster only miss the one that could not start.
    if (attempt === 5 || !reasons.some((reason) => reason instanceof PortTaken)) throw reasons[0];
    if (scratch) await Promise.all(nodes.map((node) => rm(node.dataDir, { recursive: true, force: true })));
  }
}

async function killAll(nodes: EtcdNode[]): Promise<void> {
  await Promise.all(nodes.map((node) => node.kill()));
}

async function planNodes(etcd: string, dataDir: string, scratch: string, { nodes = 1, tls, extraArgs = [] }: Options) {
  const ports = await freePorts(nodes * 3);
  const plans = Array.from({ length: nodes }, (_, index) => {
    const [client, peer, health] = ports.slice(index * 3).map((port) => `http://127.0.0.1:${port}`) as [
      string,
      string,
      string,
    ];
    return { name: `node${index}`, client: tls ? client.replace('http', 'https') : client, peer, health };
  });
  const cluster = plans.map(({ name, peer }) => `${name}=${peer}`).join(',');
  const tlsArgs = tls ? [`--cert-file=${tls.cert}`, `--key-file=${tls.key}`] : [];
  if (tls?.ca) tlsArgs.push(`--trusted-ca-file=${tls.ca}`, '--client-cert-auth');
  return plans.map(({ name, client, peer, health }) => {
    const folder = join(dataDir, name);
    const args = [
      `--name=${name}`,
      `--data-dir=${folder}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=${cluster}`,
      // Answers without TLS and without a user, so that health needs neither.
      `--listen-metrics-urls=${health}`,
      ...tlsArgs,
      ...extraArgs,
    ];
    return nodeOf(etcd, args, { client, health, scratch, folder });
  });
}

function nodeOf(
  etcd: string,
  args: string[],
  { client, health, scratch, folder }: Record<'client' | 'health' | 'scratch' | 'folder', string>,
) {
  let child: ChildProcess | undefined;
  let complaints = '';

  async function kill(signal: NodeJS.Signals = 'SIGKILL') {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await ended;
  }

  async function waitForHealth(started: ChildProcess) {
    const deadline = performance.now() + HEALTH_TIMEOUT_MS;
    while (performance.now() < deadline) {
      if (started.exitCode !== null || started.signalCode !== null) {
        if (/address already in use/.test(complaints)) throw new PortTaken(`a port of ${client} is taken`);
        throw new Error(`etcd ended by itself (${started.signalCode ?? started.exitCode}):\n${complaints}`);
      }
      const healthy = await fetch(`${health}/health`, { signal: AbortSignal.timeout(1000) }).then(
        async (response) => (await response.text()).includes('true'),
        () => false,
      );
      if (healthy) return;
      await sleep(50);
    }
    throw new Error(`etcd at ${client} was not healthy within ${HEALTH_TIMEOUT_MS} ms:\n${complaints}`);
  }

  return {
    endpoint: client,
    dataDir: folder,
    get pid() {
      return child?.pid ?? 0;
    },
    kill,
    async restart() {
      await kill();
      complaints = '';
      // Detached, or Ctrl-C in the terminal would end etcd before those who still need it.
      const started = spawn(etcd, args, { stdio: ['ignore', 'ignore', 'pipe'], env: cleanEnv(), detached: true });
      child = started;
      started.stderr.setEncoding('utf8').on('data', (text) => {
        complaints = (complaints + text).slice(-4000);
      });
      await once(started, 'spawn');
      const callOff = guard(started.pid!, scratch);
      started.once('exit', callOff);
      await waitForHealth(started);
    },
  };
}

/**
 * Ports that nobody listens on, from below the range that systems take outgoing ports from: a port stays free while its
 * node is down.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  for (let tries = 0; ports.size < count && tries < 1000; tries++) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    if (free) {
      ports.add(port);
      await new Promise((resolve) => server.close(resolve));
    }
  }
  if (ports.size < count) throw new Error('no free loopback ports');
  return [...ports];
}
