import { execFile } from 'node:child_process';
import { copyFile, cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { promisify } from 'node:util';
import { unzipSync } from 'fflate';
import { JOBS_FOLDER } from '../stage/job-files.ts';
import { serviceName } from '../stage/service-name.ts';

const root = join(import.meta.dirname, '../..');

/** What may stand in a service directory instead of the project's own. */
export interface Parts {
  /** A folder of jobs, instead of `functions/jobs`. */
  jobs?: string;
  /** A folder of stage files, instead of `infra/config`. */
  config?: string;
  /** Another name of the service, and another region. */
  service?: string;
  region?: string;
}

/**
 * Packages the functions of a service directory and returns the path of the zip, which is byte for byte the one that
 * `serverless deploy` uploads. It is the same for every stage.
 * @throws Error with the command's output if packaging fails
 */
export async function artifact(serviceDir: string, stage?: string): Promise<string> {
  await serverless(serviceDir, ['package', ...(stage === undefined ? [] : ['--stage', stage])]);
  return join(serviceDir, '.serverless', `${await serviceName(serviceDir)}.zip`);
}

/**
 * Makes a service directory inside `folder`, so that several osls can run at a time without touching each other's output.
 * It has links to the project, except for the jobs, the stages' files and what names them: those are copies that tests can
 * change.
 */
export async function serviceFolder(folder: string, parts: Parts = {}): Promise<string> {
  const { jobs = join(root, JOBS_FOLDER), config = join(root, 'infra/config') } = parts;
  const serviceDir = join(folder, 'service');
  await mkdir(join(serviceDir, 'infra'), { recursive: true });
  await mkdir(join(serviceDir, JOBS_FOLDER), { recursive: true });
  await cp(config, join(serviceDir, 'infra/config'), { recursive: true });
  // osls does not accept a link as its configuration file.
  await writeFile(
    join(serviceDir, 'serverless.yml'),
    renamed(await readFile(join(root, 'serverless.yml'), 'utf8'), parts),
  );
  // Copies, because what they import from `./jobs` has to be in this folder.
  for (const name of await readdir(join(root, 'functions')))
    if (name.endsWith('.ts')) await copyFile(join(root, 'functions', name), join(serviceDir, 'functions', name));
  const infra = (await readdir(join(root, 'infra'))).filter((name) => name !== 'config');
  for (const path of ['package.json', 'node_modules', 'lib', ...infra.map((name) => `infra/${name}`)])
    await symlink(join(root, path), join(serviceDir, path));
  for (const name of await readdir(jobs))
    if (name.endsWith('.ts')) await symlink(join(jobs, name), join(serviceDir, JOBS_FOLDER, name));
  return serviceDir;
}

function renamed(yaml: string, { service, region }: Parts): string {
  const named = service === undefined ? yaml : yaml.replace(/^service:.*$/m, `service: ${service}`);
  return region === undefined ? named : named.replace(/^ {2}region:.*$/m, `  region: ${region}`);
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
