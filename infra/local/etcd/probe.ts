import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** An etcd and its command line client on this machine. */
export interface EtcdBinary {
  etcd: string;
  etcdctl: string;
  version: string;
  /** Says where it was found. */
  origin: string;
}

/** Runs both programs: one of them may be for another machine, or too old for etcd's v3 API. @throws Error */
export async function probe(etcd: string, etcdctl: string, origin: string): Promise<EtcdBinary> {
  try {
    const [version] = await Promise.all([readVersion(etcd, '--version'), readVersion(etcdctl, 'version')]);
    return { etcd, etcdctl, version, origin };
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    throw code === 'ENOENT' ? new Error(`${path} does not exist`) : error;
  }
}

async function readVersion(program: string, arg: string): Promise<string> {
  const { stdout } = await run(program, [arg], { timeout: 10_000, env: {} });
  const [, version, major, minor] = /version: ((\d+)\.(\d+)\.\S+)/i.exec(stdout) ?? [];
  if (!version) throw new Error(`${program} prints no version`);
  if (Number(major) < 3 || (Number(major) === 3 && Number(minor) < 4)) {
    throw new Error(`${program} is ${version}, but must be 3.4 or newer`);
  }
  return version;
}
