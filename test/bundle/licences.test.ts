import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Metafile } from 'esbuild';
import { build } from '../../infra/bundle/build.ts';
import { thirdPartyLicences } from '../../infra/bundle/licences.ts';

const root = join(import.meta.dirname, '../..');

async function temporaryFolder() {
  const path = await mkdtemp(join(tmpdir(), 'solotick-licences-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** What the licences of a bundle with a file of each of these packages are; `files` come beside a package.json of `license`. */
async function licencesOf(packages: Record<string, { license?: unknown; files?: Record<string, string> }>) {
  await using folder = await temporaryFolder();
  const inputs: Metafile['outputs'][string]['inputs'] = { 'lib/own.ts': { bytesInOutput: 1 } };
  for (const [name, { license, files = {} }] of Object.entries(packages)) {
    const own = join(folder.path, 'node_modules', name);
    await mkdir(join(own, 'dist'), { recursive: true });
    await writeFile(
      join(own, 'package.json'),
      JSON.stringify({ name, version: '1.2.3', license, author: 'A. Writer' }),
    );
    for (const [file, text] of Object.entries(files)) await writeFile(join(own, file), text);
    inputs[`node_modules/${name}/dist/index.js`] = { bytesInOutput: 1 };
  }
  const output = { bytes: 1, inputs, imports: [], exports: [] };
  return await thirdPartyLicences(folder.path, { inputs: {}, outputs: { 'dist/sync.js': output } });
}

test('The bundle carries the name, the version, the licence and the text of every package that it has a part of.', async () => {
  await using folder = await temporaryFolder();
  const { outputs } = await build({ outDir: folder.path });
  const written = await readFile(join(folder.path, 'THIRD-PARTY-LICENSES'), 'utf8');
  const bundled = Object.values(outputs).flatMap(({ inputs }) => Object.keys(inputs));
  const names = bundled.flatMap((path) => path.split('node_modules/')[1]?.match(/^(@[^/]+\/)?[^/]+/)?.[0] ?? []);
  assert.ok(names.length > 0);
  for (const name of new Set(names)) {
    const { version, license } = JSON.parse(await readFile(join(root, 'node_modules', name, 'package.json'), 'utf8'));
    assert.ok(written.includes(`\n${name} ${version}: ${license}\n`), name);
  }
  for (const file of [
    'undici/LICENSE',
    'long/LICENSE',
    'protobufjs/LICENSE',
    'valibot/LICENSE.md',
    'p-limit/license',
  ]) {
    const text = (await readFile(join(root, 'node_modules', file), 'utf8')).replaceAll('\r\n', '\n').trim();
    assert.ok(written.includes(text), file);
  }
  assert.match(written, /\n@middy\/core 7[^\n]*\n\nMIT License\n\nCopyright \(c\) Middy contributors\n/);
});

test('Packages with the same text share it, and a NOTICE comes along.', async () => {
  const text = await licencesOf({
    a: { license: 'ISC', files: { LICENSE: 'the same\r\ntext\n' } },
    '@scope/b': { license: 'ISC', files: { 'LICENCE.md': 'the same\ntext' } },
    c: { license: 'Apache-2.0', files: { 'LICENSE.txt': 'another text', NOTICE: 'of the authors of c' } },
  });
  assert.match(text, /\n@scope\/b 1\.2\.3: ISC\na 1\.2\.3: ISC\nc 1\.2\.3: Apache-2\.0\n/);
  assert.equal(text.split('the same\ntext').length, 2);
  assert.match(text, /\n@scope\/b 1\.2\.3, a 1\.2\.3\n\nthe same\ntext\n/);
  assert.match(text, /\nc 1\.2\.3\n\nanother text\n\nof the authors of c\n/);
});

test('A licence that is not allowed, or none at all, is an error that names the packages.', async () => {
  const files = { LICENSE: 'text' };
  for (const license of ['(MIT OR GPL-3.0-only)', 'GPL-2.0 OR BSD-2-Clause AND MIT', 'MIT AND ISC'])
    assert.match(await licencesOf({ a: { license, files } }), /\na 1\.2\.3\n\ntext\n/);
  for (const license of [
    'GPL-3.0-only',
    'UNLICENSED',
    'MIT AND GPL-3.0-only',
    '(GPL-2.0 OR SSPL-1.0)',
    'SEE LICENSE IN x',
  ])
    await assert.rejects(licencesOf({ a: { license, files } }), ({ message }: Error) =>
      message.startsWith(
        `the bundle must not be shipped: a 1.2.3 has the licence ${license}; infra/bundle/licences.ts`,
      ),
    );
  await assert.rejects(
    licencesOf({ a: { files }, b: { license: 'MIT', files }, c: { license: 'BlueOak-1.0.0' } }),
    /shipped: a 1\.2\.3 names no licence in its package\.json; c 1\.2\.3 comes without its text: [^;]* BlueOak-1\.0\.0 /,
  );
});
