import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { access, constants, mkdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { removeAtExit } from '../remove-at-exit.ts';
import { unpackPackages, type Wanted } from './debian-packages.ts';
import { downloadRelease, RELEASE } from './release.ts';

const run = promisify(execFile);

const PACKAGES: Wanted = {
  packages: ['etcd-server', 'etcd-client'],
  programs: { 'usr/bin/etcd': '--version', 'usr/bin/etcdctl': 'version' },
  // The etcd of these releases is no longer maintained; the newer package runs on them.
  newer: { release: 'trixie', on: ['bullseye', 'bookworm'] },
};

/** etcd and its command line client as found on this machine. */
export interface EtcdBinary {
  etcd: string;
  etcdctl: string;
  version: string;
  /** Which way it was found, for people. */
  origin: string;
}

interface Search {
  /** Where ETCD_BIN, ETCDCTL_BIN, PATH, XDG_CACHE_HOME and HOME are looked up. */
  env?: NodeJS.ProcessEnv;
  /** The upstream release to take where none is found. */
  release?: typeof RELEASE;
  /** Is told of a download before it starts. */
  onProgress?: (line: string) => void;
}

/**
 * Finds a real etcd, in this order: ETCD_BIN (with ETCDCTL_BIN, or etcdctl beside it), PATH, a copy that an earlier call
 * left in the cache folder, the pinned upstream release, the packages of Debian or Ubuntu. Downloads go to the cache
 * folder (`$XDG_CACHE_HOME/solotick` or `~/.cache/solotick`) and need no root; nothing is installed on the system.
 * @throws Error when ETCD_BIN does not work, or, listing what was tried and the ways to get an etcd, when no way leads to one.
 */
export async function findEtcd({ env = process.env, release = RELEASE, onProgress }: Search = {}) {
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

  const ways: [string, () => Promise<EtcdBinary>][] = [
    ['PATH', () => fromPath(env)],
    ['cached release', () => probe(join(upstream, 'etcd'), join(upstream, 'etcdctl'), 'the cached upstream release')],
    ['cached packages', () => probe(join(packages, 'etcd'), join(packages, 'etcdctl'), 'the cached packages')],
    [
      'upstream release',
      () => {
        onProgress?.(`no etcd here yet: downloading the upstream release ${release.version}`);
        return fill(upstream, (folder) => downloadRelease(folder, release), 'the upstream release');
      },
    ],
    [
      'Debian or Ubuntu packages',
      () => {
        onProgress?.('no upstream release to be had: downloading the packages etcd-server and etcd-client');
        return fill(
          packages,
          (folder) => unpackPackages(folder, PACKAGES, env),
          'the packages etcd-server and etcd-client',
        );
      },
    ],
  ];
  const failures: string[] = [];
  for (const [name, way] of ways) {
    try {
      return await way();
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

async function fromPath(env: NodeJS.ProcessEnv): Promise<EtcdBinary> {
  const etcd = await which('etcd', env);
  return probe(etcd, env.ETCDCTL_BIN || (await which('etcdctl', env)), 'PATH');
}

async function which(program: string, env: NodeJS.ProcessEnv): Promise<string> {
  for (const folder of (env.PATH ?? '').split(delimiter).filter(Boolean)) {
    const path = join(folder, program);
    if (
      await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  throw new Error(`no ${program} there`);
}

/** Runs both programs, because one that is there may be for another machine, or too old to speak etcd's v3 API. */
async function probe(etcd: string, etcdctl: string, origin: string): Promise<EtcdBinary> {
  const versionOf = async (program: string, arg: string) => {
    const { stdout } = await run(program, [arg], { timeout: 10_000, env: {} });
    const [, version, major, minor] = /version: ((\d+)\.(\d+)\.\S+)/i.exec(stdout) ?? [];
    if (!version) throw new Error(`${program} tells no version`);
    if (Number(major) < 3 || (Number(major) === 3 && Number(minor) < 4)) {
      throw new Error(`${program} is ${version}, and 3.4 is the oldest that will do`);
    }
    return version;
  };
  try {
    const [version] = await Promise.all([versionOf(etcd, '--version'), versionOf(etcdctl, 'version')]);
    return { etcd, etcdctl, version, origin };
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    throw code === 'ENOENT' ? new Error(`${path} does not exist`) : error;
  }
}

/** Fills a cache folder as a whole: what is seen under its name is complete, whoever else fills it at the same time. */
async function fill(folder: string, load: (into: string) => Promise<string>, origin: string): Promise<EtcdBinary> {
  const draft = `${folder}.${randomUUID()}`;
  await mkdir(draft, { recursive: true });
  const callOff = removeAtExit(draft);
  try {
    const from = await load(draft);
    await probe(join(draft, 'etcd'), join(draft, 'etcdctl'), from);
    await rename(draft, folder).catch(async () => {
      // Somebody else was faster, or what lies there was found not to work.
      const other = await probe(join(folder, 'etcd'), join(folder, 'etcdctl'), origin).catch(() => undefined);
      if (other) return;
      await rm(folder, { recursive: true, force: true });
      await rename(draft, folder);
    });
    return await probe(join(folder, 'etcd'), join(folder, 'etcdctl'), `${origin} (${from})`);
  } finally {
    await rm(draft, { recursive: true, force: true });
    callOff();
  }
}
