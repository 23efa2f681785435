import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';

/**
 * Deletes the chunks that no function can load. esbuild makes a chunk of each `import()` that it reads, even where the code
 * around it is left out: so the kinds of authorization that no job uses would be shipped all the same.
 * @param root the folder that the paths in `metafile` begin at
 * @returns the metafile without them
 */
export async function removeUnreached(root: string, metafile: Metafile): Promise<Metafile> {
  const { outputs } = metafile;
  const reached = new Set(Object.keys(outputs).filter((path) => !path.includes('/chunks/')));
  for (const path of reached) for (const { path: next } of outputs[path]!.imports) if (outputs[next]) reached.add(next);
  const kept = Object.entries(outputs).filter(([path]) => reached.has(path));
  await Promise.all(Object.keys(outputs).map((path) => reached.has(path) || rm(join(root, path))));
  return { ...metafile, outputs: Object.fromEntries(kept) };
}
