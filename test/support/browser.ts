import { execFile } from 'node:child_process';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { arch, homedir, platform } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createBrotliDecompress } from 'node:zlib';
import { type Browser, chromium } from 'playwright-core';
import { unpackPackages } from '../../infra/local/etcd/debian-packages.ts';

const run = promisify(execFile);
const CACHE = join(import.meta.dirname, '../../.cache');

/** A Chromium on this machine, and what its process needs. */
interface Program {
  path: string;
  env?: Record<string, string>;
}

const NAMES = ['google-chrome', 'google-chrome-stable', 'chromium', 'chromium-browser', 'chrome', 'microsoft-edge'];
const MAC = ['Google Chrome', 'Chromium', 'Microsoft Edge'].flatMap((name) =>
  ['/Applications', join(homedir(), 'Applications')].map((folder) => `${folder}/${name}.app/Contents/MacOS/${name}`),
);

/**
 * Starts a real browser: the one that CHROME_PATH names, an installed Chrome or Chromium, or the one that comes with the
 * packages, or Debian's package, which goes to the cache. @throws Error that says what was tried and how to get one
 */
export async function startBrowser(): Promise<Browser> {
  const { CHROME_PATH } = process.env;
  if (CHROME_PATH) return await launch({ path: CHROME_PATH });
  const failures: string[] = [];
  for (const way of [installed, packaged, debian]) {
    try {
      return await launch(await way());
    } catch (error) {
      failures.push(`  - ${way.name}: ${(error as Error).message.split('\n')[0]}`);
    }
  }
  throw new Error(
    [
      'No browser was found, and these tests need a real one:',
      ...failures,
      'Any one of these helps:',
      '  - install Chrome or Chromium: apt-get install chromium, brew install --cask chromium',
      '  - set CHROME_PATH to the program of one',
      '  - on Linux x64, "npm ci" brings one along (@sparticuz/chromium)',
      '  - on Debian, let this machine reach its package mirror',
    ].join('\n'),
  );
}

const launch = ({ path, env = {} }: Program) =>
  chromium.launch({
    executablePath: path,
    // A container's root has no user namespaces, which the sandbox needs. The only pages here are our own.
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
    env: { ...(process.env as Record<string, string>), ...env },
    timeout: 60_000,
  });

async function installed(): Promise<Program> {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  const places = [...folders.flatMap((folder) => NAMES.map((name) => join(folder, name))), ...MAC];
  const path = places.find((place) => existsSync(place));
  if (!path) throw new Error('neither on PATH nor in the usual places');
  return { path };
}

/**
 * The browser of @sparticuz/chromium. It is unpacked here and not by the package, which would do it into the folder for
 * temporary files, and would leave out the libraries where it does not find itself in a Lambda.
 */
async function packaged(): Promise<Program> {
  if (platform() !== 'linux' || arch() !== 'x64') throw new Error('@sparticuz/chromium is for Linux on x64 only');
  const bin = join(dirname(fileURLToPath(import.meta.resolve('@sparticuz/chromium'))), '../bin');
  const { version } = JSON.parse(await readFile(join(bin, '../package.json'), 'utf8'));
  const folder = join(CACHE, `chromium-${version}`);
  if (!existsSync(join(folder, 'chromium'))) await unpack(bin, folder);
  const env = { LD_LIBRARY_PATH: join(folder, 'lib'), FONTCONFIG_FILE: join(folder, 'own-fonts.conf') };
  return { path: join(folder, 'chromium'), env };
}

/** The folder appears as a whole, even if several test files fill it at the same time. */
async function unpack(bin: string, folder: string): Promise<void> {
  const draft = `${folder}.${process.pid}`;
  await mkdir(draft, { recursive: true });
  try {
    await inflate(join(bin, 'chromium.br'), join(draft, 'chromium'));
    await chmod(join(draft, 'chromium'), 0o755);
    for (const name of ['al2023.tar', 'fonts.tar', 'swiftshader.tar']) {
      await inflate(join(bin, `${name}.br`), join(draft, name));
      await run('tar', ['-xf', join(draft, name), '-C', draft], { timeout: 60_000 });
      await rm(join(draft, name));
    }
    // The package's own fonts first, so that a page looks alike everywhere; those of the system for other signs.
    const fonts = join(folder, 'fonts');
    const conf = `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>${fonts}</dir>
<cachedir>${join(folder, 'font-cache')}</cachedir>
${['system-ui', 'sans-serif'].map((name) => `<alias binding="strong"><family>${name}</family><prefer><family>Open Sans</family></prefer></alias>`).join('\n')}
<include ignore_missing="yes">/etc/fonts/fonts.conf</include></fontconfig>\n`;
    await writeFile(join(draft, 'own-fonts.conf'), conf);
    await rename(draft, folder).catch((error) => {
      if (!existsSync(join(folder, 'chromium'))) throw error;
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** Debian's package, with what it needs and the system has not. */
async function debian(): Promise<Program> {
  const folder = join(CACHE, `chromium-debian-${arch()}`);
  const path = join(folder, 'root/usr/lib/chromium/chromium');
  if (!existsSync(path)) {
    const draft = `${folder}.${process.pid}`;
    await mkdir(draft, { recursive: true });
    try {
      await unpackPackages(draft, { packages: ['chromium'], programs: {}, whole: true }, process.env);
      await rename(draft, folder).catch((error) => {
        if (!existsSync(path)) throw error;
      });
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  }
  const libraries = join(folder, 'root/usr/lib', arch() === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu');
  return { path, env: { LD_LIBRARY_PATH: `${libraries}:${join(libraries, 'pulseaudio')}` } };
}

const inflate = (from: string, to: string) =>
  pipeline(createReadStream(from), createBrotliDecompress(), createWriteStream(to));
