import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build as bundle, type Metafile } from 'esbuild';
import { etcdProtos } from './etcd-protos.ts';
import { unusedParts } from './left-out.ts';

const root = join(import.meta.dirname, '../..');

/**
 * Bundles the functions into `outDir`, which is emptied first: the very files that are deployed, run locally and tested.
 * The same sources give the same bytes. What esbuild says about the result is returned.
 */
export async function build({ outDir }: { outDir: string }): Promise<Metafile> {
  await rm(outDir, { recursive: true, force: true });
  await mkdir(outDir, { recursive: true });
  // Lambda takes a .js file for CommonJS unless a package.json beside it says otherwise.
  await writeFile(join(outDir, 'package.json'), '{"type":"module"}\n');
  const { metafile } = await bundle({
    absWorkingDir: root,
    entryPoints: ['sync', 'backfill', 'control'].map((name) => `functions/${name}.ts`),
    outdir: outDir,
    chunkNames: 'chunks/[name]-[hash]',
    bundle: true,
    // What a run needs only once it holds the lock becomes a chunk of its own, which a skip never loads.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // Of packages that have both, the ES modules: what is not used of them is left out.
    mainFields: ['module', 'main'],
    minifySyntax: true,
    minifyWhitespace: true,
    // Names stay, but for those that would be there twice, so that a stack trace is readable without a source map: to read
    // one at every cold start costs 30 ms and 20 MB, and it would make the artifact four times as large. `keepNames` would
    // keep the others too, at run time and for each function that is made for a request.
    sourcemap: false,
    // The CommonJS packages inside `require` what Node itself brings.
    banner: {
      js: "import { createRequire as bundleRequire } from 'node:module'; const require = bundleRequire(import.meta.url);",
    },
    // As in the build of Node's own undici: without its second, experimental parser.
    define: { esbuildDetection: 'true' },
    plugins: [etcdProtos, unusedParts],
    metafile: true,
    logLevel: 'warning',
  });
  return metafile;
}

if (import.meta.main) {
  const { outputs } = await build({ outDir: join(root, 'dist') });
  for (const [file, { bytes }] of Object.entries(outputs)) console.log(`${file} ${Math.ceil(bytes / 1024)} kB`);
}
