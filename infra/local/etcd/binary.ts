import { access, constants } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fill, probeFolder } from './cache.ts';
import { unpackPackages, type Wanted } from './debian-packages.ts';
import { type EtcdBinary, probe } from './probe.ts';
import { downloadRelease, RELEASE } from './release.ts';

const PACKAGES: Wanted = {
  packages: ['etcd-server', 'etcd-client'],
  programs: { 'usr/bin/etcd': '--version', 'usr/bin/etcdctl': 'version' },
  // These releases have an etcd that is no longer maintained; trixie's package runs on them.
  newer: { release: 'trixie', on: ['bullseye', 'bookworm'] },
};

interface Search {
  /** The source of ETCD_BIN, ETCDCTL_BIN, PATH, XDG_CACHE_HOME and HOME. */
  env?: NodeJS.ProcessEnv;
  /** The upstream release to download. */
  release?: typeof RELEASE;
  /** Receives a line before each download. */
  onProgress?: (line: string) => void;
}

/**
 * Finds a real etcd, in this order: ETCD_BIN (with ETCDCTL_BIN, or etcdctl beside it), PATH, a copy that an earlier call
 * left in the cache folder, the pinned upstream release, the packages of Debian or Ubuntu. Downloads go to the cache
 * folder (`$XDG_CACHE_HOME/solotick` or `~/.cache/solotick`) and need no root; nothing is installed on the system.
 * @throws Error if ETCD_BIN does not work, or if all ways fail; then it lists what was tried and how to get an etcd
 */
export async function findEtcd({ env = process.env, release = RELEASE, onProgress }: Search = {}): Promise<EtcdBinary> {
  if (env.ETCD_BIN) {
    const etcdctl = env.ETCDCTL_BIN || join(dirname(env.ETCD_BIN), 'etcdctl');
    return probe(env.ETCD_BIN, etcdctl, 'ETCD_BIN').catch((cause) => {
      throw new Error(`ETCD_BIN is set, but does not lead to an etcd: ${cause.message}`, { cause });
    });
  }
  const platform = `${process.platform}-${process.arch}`;
  const root = join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'solotick');
  const upstream = join(root, `etcd-${release.version}-${platform}`);
  const packages = join(root, `etcd-packages-${platform}`);

  const ways: [name: string, find: () => Promise<EtcdBinary>][] = [
    ['PATH', () => probePath(env)],
    ['cached release', () => probeFolder(upstream, 'the cached upstream release')],
    ['cached packages', () => probeFolder(packages, 'the cached packages')],
    [
      'upstream release',
      () => {
        onProgress?.(`no etcd on this machine yet: downloading the upstream release ${release.version}`);
        return fill(upstream, (folder) => downloadRelease(folder, release), 'the upstream release');
      },
    ],
    [
      'Debian or Ubuntu packages',
      () => {
        onProgress?.('the upstream release is not available: downloading the packages etcd-server and etcd-client');
        const load = (folder: string) => unpackPackages(folder, PACKAGES, env);
        return fill(packages, load, 'the packages etcd-server and etcd-client');
      },
    ],
  ];
  const failures: string[] = [];
  for (const [name, find] of ways) {
    try {
      return await find();
    } catch (error) {
      failures.push(`  - ${name}: ${(error as Error).message.trim()}`);
    }
  }
  throw new Error(
    [
      'No etcd was found, and none could be downloaded:',
      ...failures,
      'Any one of these helps:',
      '  - set ETCD_BIN to an etcd 3.4 or newer (etcdctl beside it, or in ETCDCTL_BIN)',
      '  - install one on PATH: apt-get install etcd-server etcd-client, brew install etcd',
      `  - let this machine reach ${new URL(release.baseUrl).host} or its package mirror`,
      `  - copy etcd and etcdctl to ${upstream}`,
    ].join('\n'),
  );
}

async function probePath(env: NodeJS.ProcessEnv): Promise<EtcdBinary> {
  const etcd = await which('etcd', env);
  return probe(etcd, env.ETCDCTL_BIN || (await which('etcdctl', env)), 'PATH');
}

async function which(program: string, env: NodeJS.ProcessEnv): Promise<string> {
  for (const folder of (env.PATH ?? '').split(delimiter).filter(Boolean)) {
    const path = join(folder, program);
    const executable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (executable) return path;
  }
  throw new Error(`no ${program} there`);
}
