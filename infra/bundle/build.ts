import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build as bundle, type Metafile } from 'esbuild';
import { etcdProtos } from './etcd-protos.ts';
import { unusedParts } from './left-out.ts';
import { thirdPartyLicences } from './licences.ts';
import { removeUnreached } from './unreached.ts';

const root = join(import.meta.dirname, '../..');

/**
 * Empties `outDir` and bundles the functions into it: the files that are deployed, run locally and tested. Each job of the
 * project becomes a chunk of its own, so a function loads only its own job. The same sources give the same bytes. The licences
 * of the bundled packages come with them.
 * @param project the folder with `functions`
 * @returns esbuild's description of the result
 * @throws Error where a bundled package has a licence that infra/bundle/licences.ts does not allow
 */
export async function build({ outDir, project = root }: { outDir: string; project?: string }): Promise<Metafile> {
  await rm(outDir, { recursive: true, force: true });
  await mkdir(outDir, { recursive: true });
  // Without this package.json, Lambda would load .js files as CommonJS.
  await writeFile(join(outDir, 'package.json'), '{"type":"module"}\n');
  const bundled = await bundle({
    absWorkingDir: root,
    entryPoints: ['sync', 'backfill', 'control'].map((out) => ({ in: join(project, `functions/${out}.ts`), out })),
    outdir: outDir,
    chunkNames: 'chunks/[name]-[hash]',
    bundle: true,
    // Modules behind `import()`, which a run needs only with the lock, become chunks that a skip never loads.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // ES modules first: esbuild leaves out their unused exports.
    mainFields: ['module', 'main'],
    minifySyntax: true,
    minifyWhitespace: true,
    // Names are not minified, so a stack trace is readable without a source map. Loading one would cost 30 ms and 20 MB at every
    // cold start and make the artifact four times as large. esbuild still renames duplicates; `keepNames` would restore those
    // names, but at run time, for each function that a request creates.
    sourcemap: false,
    // The bundled CommonJS packages `require` Node's own modules.
    banner: {
      js: "import { createRequire as bundleRequire } from 'node:module'; const require = bundleRequire(import.meta.url);",
    },
    // Leaves out undici's second, experimental parser, as the build of Node's own undici does.
    define: { esbuildDetection: 'true' },
    plugins: [etcdProtos, unusedParts],
    metafile: true,
    logLevel: 'warning',
  });
  const metafile = await removeUnreached(root, bundled.metafile);
  await writeFile(join(outDir, 'THIRD-PARTY-LICENSES'), await thirdPartyLicences(root, metafile));
  return metafile;
}

if (import.meta.main) {
  const { outputs } = await build({ outDir: join(root, 'dist') });
  for (const [file, { bytes }] of Object.entries(outputs)) console.log(`${file} ${Math.ceil(bytes / 1024)} kB`);
}
