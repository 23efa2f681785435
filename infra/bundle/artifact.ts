import { execFile } from 'node:child_process';
import { copyFile, cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { promisify } from 'node:util';
import { unzipSync } from 'fflate';

const root = join(import.meta.dirname, '../..');

/**
 * Makes the artifact in `folder` and returns the path of the zip: byte for byte what `serverless package` leaves in
 * `.serverless/` and `serverless deploy` uploads, for every stage.
 * @throws Error with the command's output when packaging fails
 */
export async function artifact(folder: string): Promise<string> {
  const serviceDir = await serviceFolder(folder);
  await serverless(serviceDir, ['package']);
  return join(serviceDir, '.serverless/solotick.zip');
}

/**
 * A service directory inside `folder` to run osls in, so that several can run at a time and none touches another's
 * output. It consists of links to the project, but for the stages' files, which are copies to experiment with.
 */
export async function serviceFolder(folder: string): Promise<string> {
  const serviceDir = join(folder, 'service');
  await mkdir(join(serviceDir, 'infra'), { recursive: true });
  await cp(join(root, 'infra/config'), join(serviceDir, 'infra/config'), { recursive: true });
  // osls does not take a link for its configuration file.
  await copyFile(join(root, 'serverless.yml'), join(serviceDir, 'serverless.yml'));
  const infra = (await readdir(join(root, 'infra'))).filter((name) => name !== 'config');
  for (const path of ['package.json', 'node_modules', ...infra.map((name) => `infra/${name}`)])
    await symlink(join(root, path), join(serviceDir, path));
  return serviceDir;
}

/**
 * Runs a command of osls there and returns what it wrote to standard output.
 * @throws Error with everything the command wrote, when it fails
 */
export async function serverless(serviceDir: string, args: string[], env = process.env): Promise<string> {
  const osls = join(root, 'node_modules/osls/bin/serverless.js');
  const running = promisify(execFile)(process.execPath, [osls, ...args], { cwd: serviceDir, env });
  // It would go on by itself, and write into a folder that whoever asked for it removes at the same time.
  const kill = () => running.child.kill('SIGKILL');
  process.prependOnceListener('exit', kill);
  try {
    return (await running).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`serverless ${args.join(' ')} failed:\n${stdout}${stderr}`, { cause: error });
  } finally {
    process.off('exit', kill);
  }
}

/** Unpacks a zip into `folder`, which need not exist. */
export async function unpack(zipFile: string, folder: string): Promise<void> {
  const target = resolve(folder);
  for (const [name, content] of Object.entries(unzipSync(await readFile(zipFile)))) {
    const file = resolve(target, name);
    if (!file.startsWith(target + sep)) throw new Error(`${zipFile} holds ${name}, which is outside of its folder`);
    if (name.endsWith('/')) continue;
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
  }
}
