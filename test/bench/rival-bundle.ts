import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '../..');

/**
 * Bundles the same functions as esbuild does it by default, all in one file, which exports them by their names. etcd3 finds
 * its .proto files where it looks for them. Returns the file; all that belongs to it is in `folder`.
 */
export async function bundleByDefault(folder: string): Promise<string> {
  const outfile = join(folder, 'dist/functions.cjs');
  await mkdir(folder, { recursive: true });
  await build({
    absWorkingDir: root,
    stdin: {
      resolveDir: root,
      contents: ['sync', 'backfill', 'control']
        .map((name) => `export { handler as ${name} } from './functions/${name}.ts';`)
        .join('\n'),
    },
    outfile,
    bundle: true,
    platform: 'node',
    logLevel: 'error',
  });
  await cp(join(root, 'node_modules/etcd3/proto'), join(folder, 'proto'), { recursive: true });
  return outfile;
}
