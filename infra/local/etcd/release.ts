import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A release of etcd, with its archives by Node's names of platform and architecture. */
export interface Release {
  version: string;
  baseUrl: string;
  archives: Record<string, { name: string; sha256: string }>;
}

/** The checksums are from Kubespray's checksums.yml (Linux) and other public installers (macOS). */
export const RELEASE: Release = {
  version: 'v3.6.14',
  baseUrl: 'https://github.com/etcd-io/etcd/releases/download',
  archives: {
    'linux-x64': {
      name: 'linux-amd64.tar.gz',
      sha256: 'ffe840ff9295808e88cce2794a18a5ac87f12a5203c8314d0bf6aa119b41bac5',
    },
    'linux-arm64': {
      name: 'linux-arm64.tar.gz',
      sha256: 'fa1b80565ee6fc2df1ae6f57a508b221f3ecc7d591c317c581cd8281b0842b3e',
    },
    'darwin-x64': {
      name: 'darwin-amd64.zip',
      sha256: '17b8639cf303fee6c35958278d557263215a9a8f8c15fd89022b5aa67091b228',
    },
    'darwin-arm64': {
      name: 'darwin-arm64.zip',
      sha256: 'fd154573a1f4c098c214d8233507d2766c43a164f7e339c0385aae71d9a1afaf',
    },
  },
};

/** Without a network, the attempt must end within seconds; over a slow one, 25 MB must still arrive. */
const ANSWER_TIMEOUT_MS = 5000;
const DOWNLOAD_TIMEOUT_MS = 60_000;

/**
 * Downloads the release's archive for this platform and puts its programs into `folder`. Returns the URL.
 * @throws Error if there is no archive for this platform, the network fails, or the SHA-256 is not the pinned one
 */
export async function downloadRelease(folder: string, release: Release): Promise<string> {
  const archive = release.archives[`${process.platform}-${process.arch}`];
  if (!archive) throw new Error(`there is no archive for ${process.platform} on ${process.arch}`);
  const file = `etcd-${release.version}-${archive.name}`;
  const url = `${release.baseUrl}/${release.version}/${file}`;
  const bytes = await download(url);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (sha256 !== archive.sha256) throw new Error(`${url} has SHA-256 ${sha256} instead of ${archive.sha256}`);

  const path = join(folder, file);
  await writeFile(path, bytes);
  // On macOS, tar unpacks zip files as well.
  await run('tar', ['-xf', path, '-C', folder], { timeout: DOWNLOAD_TIMEOUT_MS });
  const unpacked = join(folder, file.replace(/\.(tar\.gz|zip)$/, ''));
  // Since 3.6, only etcdutl restores snapshots.
  const programs = (await readdir(unpacked)).filter((name) => /^etcd(ctl|utl)?$/.test(name));
  for (const program of programs) await rename(join(unpacked, program), join(folder, program));
  await Promise.all([unpacked, path].map((leftover) => rm(leftover, { recursive: true })));
  return url;
}

async function download(url: string): Promise<Buffer> {
  const unanswered = new AbortController();
  const timer = setTimeout(() => unanswered.abort(new Error('no answer in time')), ANSWER_TIMEOUT_MS);
  const signal = AbortSignal.any([unanswered.signal, AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS)]);
  try {
    const response = await fetch(url, { signal });
    clearTimeout(timer);
    if (!response.ok) throw new Error(`status ${response.status}`);
    return Buffer.from(await response.arrayBuffer());
  } catch (error) {
    const { message, cause } = error as Error;
    throw new Error(`${url}: ${cause instanceof Error ? cause.message : message}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}
