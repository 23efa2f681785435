import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { zipSync } from 'fflate';
import { type Row, rowOf } from './row.ts';
import type { Stage } from './stage.ts';

const MOST_KB = 700;

/** The size of the deployed zip, compared with a zip of the rival's folder. */
export async function measureArtifact({ zipFile, rival, progress }: Stage): Promise<Row[]> {
  progress('artifact');
  const own = (await stat(zipFile)).size / 1000;
  const files: Record<string, Uint8Array> = {};
  for (const entry of await readdir(rival.folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) files[relative(rival.folder, path)] = await readFile(path);
  }
  const other = zipSync(files, { level: 9 }).length / 1000;
  return [rowOf('artifact', [{ own, other }], { ok: own < MOST_KB, why: `under ${MOST_KB} kB` })];
}
