import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '../..');

/**
 * Bundles the same functions with esbuild's defaults into one file, which exports them by name. The .proto files lie where
 * etcd3 looks for them. Returns the file; everything that it needs is in `folder`.
 * @param project the folder with `functions`
 */
export async function bundleByDefault(project: string, folder: string): Promise<string> {
  const outfile = join(folder, 'dist/functions.cjs');
  await mkdir(folder, { recursive: true });
  await build({
    absWorkingDir: root,
    stdin: {
      resolveDir: project,
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
