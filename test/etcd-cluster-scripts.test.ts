import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { findProgram } from '../infra/local/debian-program.ts';
import { RELEASE } from '../infra/local/etcd-release.ts';

const run = promisify(execFile);
const folder = join(import.meta.dirname, '../infra/etcd');
const scripts = (await readdir(folder)).filter((name) => name.endsWith('.sh'));

test('Every script is one that bash can read.', async () => {
  assert.ok(scripts.length >= 7);
  for (const script of scripts) await run('bash', ['-n', join(folder, script)]);
});

test('Every script is as shellcheck wants it.', async (t) => {
  const wanted = { variable: 'SHELLCHECK_BIN', path: 'usr/bin/shellcheck', versionArg: '--version' };
  const shellcheck = await findProgram(wanted).catch((error: Error) => {
    if (process.env.CI === 'true') throw error;
    t.skip(error.message);
  });
  if (shellcheck === undefined) return;
  const args = ['--severity=warning', ...scripts.map((script) => join(folder, script))];
  await run(shellcheck, args).catch(({ stdout, message }) => assert.fail(stdout || message));
});

test('The nodes get the release that is pinned for the tests.', async () => {
  const deploy = await readFile(join(folder, 'deploy.sh'), 'utf8');
  assert.match(deploy, new RegExp(`^version=${RELEASE.version}$`, 'm'));
  assert.match(deploy, new RegExp(`^sha256=${RELEASE.archives['linux-arm64']!.sha256}$`, 'm'));
});

test('Certificates that are made again are signed by the same authority.', async (t) => {
  const made = await mkdtemp(join(tmpdir(), 'solotick-certificates-'));
  t.after(() => rm(made, { recursive: true }));
  const make = async () => {
    await run(join(folder, 'certificates.sh'), [made, 'etcd-1=10.0.1.10', 'etcd-2=etcd-2.example.com']);
    return await Promise.all(['ca.pem', 'etcd-1.pem'].map((name) => readFile(join(made, name), 'utf8')));
  };
  const [authority, first] = await make();
  const [again, second] = await make();
  assert.equal(again, authority);
  assert.notEqual(second, first);
  const verify = async (...args: string[]) =>
    await run('openssl', ['verify', '-CAfile', join(made, 'ca.pem'), ...args]);
  await verify('-verify_ip', '10.0.1.10', join(made, 'etcd-1.pem'));
  await verify('-verify_hostname', 'etcd-2.example.com', join(made, 'etcd-2.pem'));
  await assert.rejects(verify('-verify_hostname', 'etcd-1.example.com', join(made, 'etcd-2.pem')));
});
