import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { temporary } from '../remove-at-exit.ts';
import { type EtcdBinary, probe } from './probe.ts';

/** Probes the etcd that an earlier `fill` left in `folder`. @throws Error if there is none, or it does not run */
export const probeFolder = (folder: string, origin: string): Promise<EtcdBinary> =>
  probe(join(folder, 'etcd'), join(folder, 'etcdctl'), origin);

/**
 * Fills a cache folder by `load`, which puts the programs into the folder it receives and returns where they came from. The
 * folder appears as a whole, even if several processes fill it at the same time.
 */
export async function fill(
  folder: string,
  load: (into: string) => Promise<string>,
  origin: string,
): Promise<EtcdBinary> {
  const draft = `${folder}.${randomUUID()}`;
  await mkdir(draft, { recursive: true });
  await using _ = temporary(draft);
  const from = await load(draft);
  await probeFolder(draft, from);
  await rename(draft, folder).catch(async () => {
    // The folder exists: another process was faster, or its programs do not run.
    const other = await probeFolder(folder, origin).catch(() => undefined);
    if (other) return;
    await rm(folder, { recursive: true, force: true });
    await rename(draft, folder);
  });
  return await probeFolder(folder, `${origin} (${from})`);
}
