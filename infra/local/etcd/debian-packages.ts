import { execFile } from 'node:child_process';
import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { temporary } from '../remove-at-exit.ts';

const run = promisify(execFile);

/** The packages to download and the programs to take from them. */
export interface Wanted {
  packages: string[];
  /** Paths inside the packages, and the argument that makes each print its version. */
  programs: Record<string, string>;
  /** Keeps all files of the packages, and those of the packages that they need and the system has not, in the folder `root`. */
  whole?: boolean;
  /** A newer release of Debian, whose packages are tried first on the releases in `on`. */
  newer?: { release: string; on: string[] };
}

const KEYRINGS: Record<string, string> = {
  debian: '/usr/share/keyrings/debian-archive-keyring.gpg',
  ubuntu: '/usr/share/keyrings/ubuntu-archive-keyring.gpg',
};

/** For one run of apt or dpkg-deb. Enough for 10 MB of package lists on a slow line. */
const RUN_TIMEOUT_MS = 45_000;

/** For packages with all that they need, which may have 200 MB. */
const WHOLE_TIMEOUT_MS = 600_000;

/**
 * Downloads packages of Debian or Ubuntu from the system's mirror, where apt checks them against the system's keys, and
 * puts the programs into `folder`. Needs no root and no package lists: apt works in a temporary folder. Returns the names of
 * the packages' files. @throws Error if there is no apt, no mirror answers, or a program does not run
 */
export async function unpackPackages(folder: string, wanted: Wanted, env: NodeJS.ProcessEnv): Promise<string> {
  const work = await mkdtemp(join(tmpdir(), 'solotick-apt-'));
  await using _ = temporary(work);
  const failures: string[] = [];
  for (const source of await findSources(wanted, env)) {
    try {
      return await unpackFrom(source, wanted, { work, folder, env });
    } catch (error) {
      failures.push(`${source}: ${reasonOf(error)}`);
    }
  }
  throw new Error(failures.join('; ') || 'apt has no source for this release of the system');
}

/** Returns lines for a sources.list, the best first: the system's mirrors, with the newer release and then its own. */
async function findSources({ newer }: Wanted, env: NodeJS.ProcessEnv): Promise<string[]> {
  const format = '$(SITE) $(RELEASE) $(COMPONENT)';
  // With --no-release-info, apt lists its sources even if it has never fetched them.
  const args = ['indextargets', '--no-release-info', '--format', format, 'Created-By: Packages'];
  const { stdout } = await run('apt-get', args, { env, timeout: RUN_TIMEOUT_MS }).catch((error) => {
    throw new Error(error.code === 'ENOENT' ? 'no apt-get here' : reasonOf(error), { cause: error });
  });
  const system = await readFile('/etc/os-release', 'utf8');
  const osRelease = (key: string) => new RegExp(`^${key}="?([^"\n]*)`, 'm').exec(system)?.[1] ?? '';
  const codename = osRelease('VERSION_CODENAME');
  const keyring = KEYRINGS[osRelease('ID')];
  const option = keyring && (await readFile(keyring).catch(() => undefined)) ? `[signed-by=${keyring}] ` : '';

  const sites = new Map<string, Set<string>>();
  for (const line of stdout.split('\n')) {
    const [site, suite, component] = line.trim().split(' ');
    if (!site || !component || suite !== codename || !/^(main|universe)$/.test(component)) continue;
    sites.set(site, (sites.get(site) ?? new Set()).add(component));
  }
  const suites = osRelease('ID') === 'debian' && newer?.on.includes(codename) ? [newer.release, codename] : [codename];
  return suites.flatMap((suite) =>
    [...sites].slice(0, 3).map(([site, components]) => `deb ${option}${site} ${suite} ${[...components].join(' ')}`),
  );
}

async function unpackFrom(
  source: string,
  { packages, programs, whole = false }: Wanted,
  { work, folder, env }: { work: string; folder: string; env: NodeJS.ProcessEnv },
): Promise<string> {
  const home = await mkdtemp(join(work, 'source-'));
  const unpacked = join(home, 'unpacked');
  for (const part of ['lists/partial', 'cache/archives/partial', 'unpacked']) {
    await mkdir(join(home, part), { recursive: true });
  }
  const config = join(home, 'apt.conf');
  await writeFile(join(home, 'sources.list'), `${source}\n`);
  await writeFile(
    config,
    `Dir::Etc::SourceList "${home}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "${home}/lists";
Dir::Cache "${home}/cache";
Dir::Cache::archives "${home}/cache/archives";
Acquire::http::Timeout "4";
Acquire::https::Timeout "4";
Acquire::Retries "0";
Acquire::Languages "none";
APT::Sandbox::User "";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
`,
  );
  const apt = (args: string[], timeout = RUN_TIMEOUT_MS) =>
    run('apt-get', ['-c', config, '-q', ...args], { cwd: home, env: { ...env, LC_ALL: 'C' }, timeout });
  await apt(['update', '--error-on=any']);
  if (whole) await apt(['install', ...WITHOUT_INSTALLING, ...packages], WHOLE_TIMEOUT_MS);
  else await apt(['download', ...packages]);
  const from = whole ? join(home, 'cache/archives') : home;
  const downloaded = (await readdir(from)).filter((name) => name.endsWith('.deb'));
  for (const name of downloaded)
    await run('dpkg-deb', ['-x', join(from, name), unpacked], { env, timeout: RUN_TIMEOUT_MS });
  if (whole) await cp(unpacked, join(folder, 'root'), { recursive: true, verbatimSymlinks: true });
  for (const [path, versionArg] of Object.entries(programs)) {
    const program = join(folder, basename(path));
    await copyFile(join(unpacked, path), program);
    // A program that does not run on this release fails here, while there is another source to try.
    await run(program, [versionArg], { env: {} });
  }
  return downloaded.join(', ');
}

/** What the system has already is left out; nothing of the system is locked or changed. */
const WITHOUT_INSTALLING = ['--download-only', '--no-install-recommends', '-y', '-o', 'Debug::NoLocking=1'];

/** The first complaint of apt, which says more than "Command failed". */
function reasonOf(error: unknown): string {
  const { stderr, message, killed } = error as Error & { stderr?: string; killed?: boolean };
  if (killed) return 'took too long';
  return /^[EW]: (.*)$/m.exec(stderr ?? '')?.[1] ?? message;
}
