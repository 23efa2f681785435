import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { artifact, serviceFolder, unpack } from '../../infra/bundle/artifact.ts';
import { etcdProtos } from '../../infra/bundle/etcd-protos.ts';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { startSecrets } from '../../infra/local/secrets.ts';
import { divideCores } from './cores.ts';
import { bundleByDefault } from './rival-bundle.ts';
import { startSource } from './source.ts';

const run = promisify(execFile);

/** The scripts of clients/. */
type Client = (typeof CLIENTS)[number];
const CLIENTS = ['invoke', 'undici-loop', 'bulk-loop', 'bulk-work', 'fetch-limit', 'lock', 'skips'] as const;

/** The jobs and the stage of the bench. */
const PROJECT = {
  jobs: join(import.meta.dirname, 'project/jobs'),
  config: join(import.meta.dirname, 'project/config'),
  service: 'solotick',
};

/** What `clients/invoke.ts` reports. */
export interface Invoked {
  readyAtMs: number;
  endedAtMs: number;
  durationMs: number;
  cpuMs: number;
  peakMb: number;
  result?: { status: string; report: { written: number; unchanged: number } };
}

/** What every row is measured with. */
export interface Stage extends AsyncDisposable {
  folder: string;
  zipFile: string;
  /** The timer's handler in the unpacked artifact. */
  handler: string;
  /** The same code as esbuild bundles it by default, and the folder with all that belongs to it. */
  rival: { file: string; folder: string };
  etcd: LocalEtcd;
  sourceUrl: string;
  quick: boolean;
  /** Whether clients have a core of their own. */
  coresDivided: boolean;
  /** The environment of a job that has never run, with its own lock and state. */
  jobEnv(targetUrl: string, records: number): Record<string, string>;
  /** Runs a client in its own process; returns its last line as JSON and when it started. */
  run<T>(client: Client, args: string[], env?: Record<string, string>): Promise<T & { startedAtMs: number }>;
  /** Runs the timer's handler on a whole list. @throws Error when not every record was written */
  copy(targetUrl: string, records: number, env?: Record<string, string>): Promise<Invoked>;
  /** Runs the handler on a list that the target has already. @throws Error when a record was written */
  compare(targetUrl: string, records: number, env?: Record<string, string>): Promise<Invoked>;
  progress(line: string): void;
}

/** A client that hangs is a fault of the bench. */
const CLIENT_TIMEOUT_MS = 900_000;

export async function openStage(options: { quick: boolean; progress: (line: string) => void }): Promise<Stage> {
  const { quick, progress } = options;
  await using stack = new AsyncDisposableStack();
  const onClientCore = await divideCores();
  const folder = await mkdtemp(join(tmpdir(), 'solotick-bench-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));

  progress('packaging');
  const serviceDir = await serviceFolder(folder, PROJECT);
  const zipFile = await artifact(serviceDir);
  const task = join(folder, 'task');
  const [rival] = await Promise.all([
    bundleByDefault(serviceDir, join(folder, 'rival')),
    bundleClients(join(folder, 'clients')),
    unpack(zipFile, task),
  ]);
  const handler = join(task, 'dist/sync.js');
  const etcd = stack.use(await startEtcd({ onProgress: progress }));
  const source = stack.use(await startSource());
  const secret = { source: { username: 'bench', password: 'bench' }, target: { token: 'bench-token' } };
  const secrets = stack.use(await startSecrets({ bench: secret }));

  const jobEnv: Stage['jobEnv'] = (targetUrl, records) => {
    const prefix = `/bench/${randomUUID()}`;
    return {
      JOB: 'models',
      STAGE: 'bench',
      SECRET_ID: 'bench',
      SOURCE_URL: `${source.url}/${records}`,
      TARGET_URL: targetUrl,
      TARGET_REGION_ID: 'eu',
      ETCD_ENDPOINTS: etcd.endpoints.join(','),
      LOCK_KEY: `${prefix}/lock`,
      STATE_PREFIX: `${prefix}/state/`,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'local',
      AWS_SECRET_ACCESS_KEY: 'local',
      AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url,
    };
  };
  const runClient: Stage['run'] = async (client, args, env = {}) => {
    const [program, ...words] = [...onClientCore, process.execPath, join(folder, `clients/${client}.mjs`), ...args];
    const startedAtMs = performance.timeOrigin + performance.now();
    const { stdout } = await run(program!, words, {
      env: { PATH: process.env.PATH ?? '', ...env },
      maxBuffer: 64 * 1024 * 1024,
      timeout: CLIENT_TIMEOUT_MS,
    });
    return { ...JSON.parse(stdout.trimEnd().split('\n').at(-1)!), startedAtMs };
  };
  /**
   * Leaves the state of a job that has run before, and has read nothing yet. A job's first run is slower by a quarter: V8
   * compiles the check of a record again and again until it has seen an object without its optional fields, such as that state.
   */
  async function runBefore(env: Record<string, string>) {
    const event = { since: '2020-01-01T00:00:00Z', until: '2020-01-02T00:00:00Z' };
    const backfill = join(task, 'dist/backfill.js');
    await runClient('invoke', [backfill, 'handler', JSON.stringify(event)], { ...env, SOURCE_URL: `${source.url}/0` });
  }
  /** @throws Error when not all records are `as` */
  async function invoke(as: 'written' | 'unchanged', targetUrl: string, records: number, more: Record<string, string>) {
    const env = { ...jobEnv(targetUrl, records), ...more };
    await runBefore(env);
    const told = await runClient<Invoked>('invoke', [handler, 'handler', '{}'], env);
    const { status, report } = told.result ?? {};
    if (status !== 'completed' || report?.[as] !== records) {
      throw new Error(`the run was ${status} with ${report?.[as]} of ${records} records ${as}`);
    }
    return told;
  }
  const owned = stack.move();
  return {
    ...{ folder, zipFile, handler, etcd, quick, progress, jobEnv },
    rival: { file: rival, folder: join(folder, 'rival') },
    sourceUrl: source.url,
    coresDivided: onClientCore.length > 0,
    run: runClient,
    copy: (targetUrl, records, env = {}) => invoke('written', targetUrl, records, env),
    compare: (targetUrl, records, env = {}) => invoke('unchanged', targetUrl, records, { ...env, JOB: 'compared' }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Each client becomes one file, like the code that it is compared with. */
async function bundleClients(outdir: string) {
  await build({
    absWorkingDir: import.meta.dirname,
    entryPoints: CLIENTS.map((name) => `clients/${name}.ts`),
    outdir,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    outExtension: { '.js': '.mjs' },
    banner: {
      js: "import { createRequire as bundleRequire } from 'node:module'; const require = bundleRequire(import.meta.url);",
    },
    plugins: [etcdProtos],
    logLevel: 'error',
  });
}
