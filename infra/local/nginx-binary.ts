import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { unpackPackages } from './debian-packages.ts';

const run = promisify(execFile);

/**
 * Finds an nginx: NGINX_BIN, PATH and /usr/sbin, a copy that an earlier call left in the cache folder
 * (`$XDG_CACHE_HOME/solotick` or `~/.cache/solotick`), Debian's or Ubuntu's package, which is unpacked there. Nothing is
 * installed on the system. @throws Error that lists what was tried.
 */
export async function findNginx(env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const cached = join(
    env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'),
    `solotick/nginx-packages-${process.platform}-${process.arch}/nginx`,
  );
  const places = env.NGINX_BIN
    ? [env.NGINX_BIN]
    : [...`${env.PATH ?? ''}${delimiter}/usr/sbin`.split(delimiter).map((folder) => join(folder, 'nginx')), cached];
  for (const place of places) if (await runs(place)) return place;
  if (env.NGINX_BIN) throw new Error('NGINX_BIN is set, but does not lead to an nginx');
  try {
    await download(dirname(cached), env);
    return cached;
  } catch (cause) {
    throw new Error(`no nginx in NGINX_BIN, on PATH or in the cache; its package: ${(cause as Error).message}`, {
      cause,
    });
  }
}

const runs = (nginx: string) =>
  run(nginx, ['-v'], { env: {}, timeout: 10_000 }).then(
    () => true,
    () => false,
  );

async function download(folder: string, env: NodeJS.ProcessEnv) {
  await mkdir(dirname(folder), { recursive: true });
  const draft = await mkdtemp(`${folder}.`);
  try {
    await unpackPackages(draft, { packages: ['nginx'], programs: { 'usr/sbin/nginx': '-v' } }, env);
    await rm(folder, { recursive: true, force: true });
    await rename(draft, folder);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}
