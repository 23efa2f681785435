import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';

/** The licences, by their names in SPDX, that let a zip carry a package if it carries their text as well. */
const ALLOWED = ['MIT', 'MIT-0', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', '0BSD', 'BlueOak-1.0.0'];

interface Bundled {
  name: string;
  licence: string;
  text: string;
}

/**
 * The licences of all packages of which the bundle has a part, in one text that is the same for the same packages.
 * @param root the folder that the paths in `metafile` begin at
 * @throws Error that names every package whose licence is not allowed, or has no text
 */
export async function thirdPartyLicences(root: string, metafile: Metafile): Promise<string> {
  const inputs = Object.values(metafile.outputs).flatMap((output) => Object.keys(output.inputs));
  const folders = new Set(
    inputs.flatMap((path) => /^.*\bnode_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0] ?? []),
  );
  const read = await Promise.all([...folders].sort().map((folder) => readPackage(join(root, folder))));
  const faults = read.filter((one) => typeof one === 'string');
  if (faults.length > 0) throw new Error(`the bundle must not be shipped: ${faults.join('; ')}`);
  const packages = read.filter((one) => typeof one !== 'string');
  const byText = Object.groupBy(packages, ({ text }) => text);
  return [
    'The bundle contains parts of these packages, under the licences below.\n',
    ...packages.map(({ name, licence }) => `${name}: ${licence}`),
    ...Object.entries(byText).map(
      ([text, of]) => `\n${'-'.repeat(80)}\n${of!.map(({ name }) => name).join(', ')}\n\n${text}`,
    ),
    '',
  ].join('\n');
}

/** A package's licence, or what keeps it from being shipped. */
async function readPackage(folder: string): Promise<Bundled | string> {
  const { name, version, license, author } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  const bundled = `${name} ${version}`;
  if (typeof license !== 'string') return `${bundled} names no licence in its package.json`;
  if (!isAllowed(license)) {
    return `${bundled} has the licence ${license}; infra/bundle/licences.ts allows ${ALLOWED.join(', ')}`;
  }
  const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|copying|notice)(\W|$)/i.test(file)).sort();
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
  if (!files.some((file) => !/^notice/i.test(file))) {
    const standard = await standardText(license, author?.name ?? author ?? name);
    if (!standard) return `${bundled} comes without its text: put that of ${license} into infra/bundle/licences`;
    texts.unshift(standard);
  }
  return {
    name: bundled,
    licence: license,
    text: texts.map((text) => text.replaceAll('\r\n', '\n').trim()).join('\n\n'),
  };
}

/** Whether an expression of SPDX (https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/) can be met. */
function isAllowed(expression: string): boolean {
  const plain = expression.replace(/^\((.*)\)$/, '$1');
  return plain.split(' OR ').some((one) => one.split(' AND ').every((licence) => ALLOWED.includes(licence)));
}

/** The text for a package that was published without one. */
async function standardText(licence: string, holder: string): Promise<string | undefined> {
  const folder = join(import.meta.dirname, 'licences');
  const file = (await readdir(folder)).find((name) => name === `${licence}.txt`);
  return file && (await readFile(join(folder, file), 'utf8')).replace('<holder>', holder);
}
