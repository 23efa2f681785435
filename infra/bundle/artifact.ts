import { execFile } from 'node:child_process';
import { copyFile, cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { promisify } from 'node:util';
import { unzipSync } from 'fflate';

const root = join(import.meta.dirname, '../..');

/**
 * Packages the functions inside `folder` and returns the path of the zip, which is byte for byte the one that `serverless
 * deploy` uploads. It is the same for every stage.
 * @throws Error with the command's output if packaging fails
 */
export async function artifact(folder: string): Promise<string> {
  const serviceDir = await serviceFolder(folder);
  await serverless(serviceDir, ['package']);
  return join(serviceDir, '.serverless/solotick.zip');
}

/**
 * Makes a service directory inside `folder`, so that several osls can run at a time without touching each other's output.
 * It has links to the project, except for the stages' files: those are copies that tests can change.
 */
export async function serviceFolder(folder: string): Promise<string> {
  const serviceDir = join(folder, 'service');
  await mkdir(join(serviceDir, 'infra'), { recursive: true });
  await cp(join(root, 'infra/config'), join(serviceDir, 'infra/config'), { recursive: true });
  // osls does not accept a link as its configuration file.
  await copyFile(join(root, 'serverless.yml'), join(serviceDir, 'serverless.yml'));
  const infra = (await readdir(join(root, 'infra'))).filter((name) => name !== 'config');
  for (const path of ['package.json', 'node_modules', ...infra.map((name) => `infra/${name}`)])
    await symlink(join(root, path), join(serviceDir, path));
  return serviceDir;
}

/**
 * Runs a command of osls in a service directory and returns its standard output.
 * @throws Error with the command's whole output if it fails
 */
export async function serverless(serviceDir: string, args: string[], env = process.env): Promise<string> {
  const osls = join(root, 'node_modules/osls/bin/serverless.js');
  const running = promisify(execFile)(process.execPath, [osls, ...args], { cwd: serviceDir, env });
  // If this process exits, osls must not go on: it would write into a folder that is being removed.
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

/** Unpacks a zip into `folder`, which it creates if needed. @throws Error if an entry lies outside of the folder */
export async function unpack(zipFile: string, folder: string): Promise<void> {
  const target = resolve(folder);
  for (const [name, content] of Object.entries(unzipSync(await readFile(zipFile)))) {
    const file = resolve(target, name);
    if (!file.startsWith(target + sep))
      throw new Error(`${zipFile} contains ${name}, which lies outside of the folder`);
    if (name.endsWith('/')) continue;
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
  }
}
