import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { findEtcd } from '../../infra/local/etcd/binary.ts';
import { RELEASE } from '../../infra/local/etcd/release.ts';
import { findProgram } from '../support/debian-program.ts';

const run = promisify(execFile);
const folder = join(import.meta.dirname, '../../infra/etcd');
const scripts = (await readdir(folder)).filter((name) => name.endsWith('.sh'));

test('Every script is valid bash.', async () => {
  assert.ok(scripts.length >= 7);
  for (const script of scripts) await run('bash', ['-n', join(folder, script)]);
});

test('shellcheck finds nothing in any script.', async (t) => {
  const wanted = { variable: 'SHELLCHECK_BIN', path: 'usr/bin/shellcheck', versionArg: '--version' };
  const shellcheck = await findProgram(wanted).catch((error: Error) => {
    if (process.env.CI === 'true') throw error;
    t.skip(error.message);
  });
  if (shellcheck === undefined) return;
  const args = ['--severity=warning', ...scripts.map((script) => join(folder, script))];
  await run(shellcheck, args).catch(({ stdout, message }) => assert.fail(stdout || message));
});

test('The nodes run the release that is pinned for the tests.', async () => {
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

test('Each node needs its own name and address for a certificate.', async (t) => {
  const made = await mkdtemp(join(tmpdir(), 'solotick-certificates-'));
  t.after(() => rm(made, { recursive: true }));
  for (const wrong of [
    'etcd-1=10.0.1.10 etcd-2=10.0.2.10',
    'etcd-1=10.0.1.10,etcd-2=10.0.2.10',
    'etcd-1',
    'ca=10.0.1.10',
  ])
    await assert.rejects(run(join(folder, 'certificates.sh'), [made, wrong]), {
      code: 2,
      stderr: `"${wrong}" is not the NAME=ADDRESS of one node\n`,
    });
  assert.deepEqual(await readdir(made), []);
});

test('The error of an authority that cannot sign names its file.', async (t) => {
  const made = await mkdtemp(join(tmpdir(), 'solotick-certificates-'));
  t.after(() => rm(made, { recursive: true }));
  // A redirection leaves empty files if its command fails.
  for (const name of ['ca.pem', 'ca-key.pem']) await writeFile(join(made, name), '');
  const making = run(join(folder, 'certificates.sh'), [made, 'etcd-1=10.0.1.10']);
  await assert.rejects(making, { code: 1, stderr: /^etcd-1\.pem was not signed: [\s\S]*ca\.pem/ });
});

/** Runs a script of the cluster with stand-ins for `programs` that only record how they are called. */
async function runAmong(t: TestContext, programs: string[], script: string, args: string[], env = {}, input = '') {
  const made = await mkdtemp(join(tmpdir(), 'solotick-scripts-'));
  t.after(() => rm(made, { recursive: true }));
  for (const name of programs)
    await writeFile(join(made, name), `#!/bin/sh\necho "${name} $*" >>"${made}/calls"\n`, { mode: 0o755 });
  const running = promisify(execFile)(join(folder, script), args, {
    env: { PATH: `${made}:${process.env.PATH}`, ...env },
  });
  // A script that refuses its arguments does not read its input.
  running.child.stdin?.on('error', () => undefined).end(input);
  const error = await running.then(
    () => undefined,
    ({ code, stderr }) => ({ code, stderr }),
  );
  const calls = await readFile(join(made, 'calls'), 'utf8').catch(() => '');
  return { error, calls: calls.split('\n').filter(Boolean) };
}

test('A password is read with or without a line break, and a missing one is reported.', async (t) => {
  const auth = (input: string) => runAmong(t, ['etcdctl'], 'auth.sh', ['job', '/lock', '/state/'], {}, input);
  for (const input of ['secret\n', 'secret']) {
    const { error, calls } = await auth(input);
    assert.equal(error, undefined);
    assert.equal(calls.at(-1), 'etcdctl auth enable');
  }
  assert.deepEqual(await auth(''), { error: { code: 2, stderr: 'no password on standard input\n' }, calls: [] });
});

test('An empty password is not stored.', async (t) => {
  const made = await mkdtemp(join(tmpdir(), 'solotick-secrets-'));
  t.after(() => rm(made, { recursive: true }));
  await writeFile(join(made, 'password'), '');
  const stderr = `${made}/password is empty\n`;
  const { error, calls } = await runAmong(t, ['aws', 'jq'], 'secrets.sh', [made], { CLUSTER: 'c', JOB_USER: 'u' });
  assert.deepEqual({ error, calls }, { error: { code: 2, stderr }, calls: [] });
});

test('A deployment of an unknown node, or of any number of nodes but three, is refused before it begins.', async (t) => {
  const hosts = [1, 2, 3, 4, 5].map((n) => `etcd-${n}=ip-10-0-${n}-10.ec2.internal`);
  const deploy = (args: string[], nodes: number) => {
    const env = { NODES: hosts.slice(0, nodes).join(), SUBNETS: ['a', 'b', 'c', 'd', 'e'].slice(0, nodes).join() };
    return runAmong(t, ['aws', 'curl'], 'deploy.sh', args, env);
  };
  assert.deepEqual(await deploy(['etcd2'], 3), { error: { code: 2, stderr: 'etcd2 is not in NODES\n' }, calls: [] });
  const { error, calls } = await deploy([], 5);
  assert.deepEqual(error, { code: 2, stderr: 'NODES and SUBNETS must each name three\n' });
  assert.deepEqual(calls, []);
});

test('A snapshot that cannot be restored leaves the node’s data in place.', async (t) => {
  const data = await mkdtemp(join(tmpdir(), 'solotick-restore-'));
  t.after(() => rm(data, { recursive: true }));
  await mkdir(join(data, 'data/member'), { recursive: true });
  const { etcd } = await findEtcd();
  const env = {
    PATH: `${dirname(etcd)}:${process.env.PATH}`,
    ETCD_NAME: 'etcd-1',
    ETCD_DATA_DIR: join(data, 'data'),
    ETCD_INITIAL_CLUSTER: 'etcd-1=https://localhost:2380',
    ETCD_INITIAL_CLUSTER_TOKEN: 'test',
  };
  const snapshot = join(data, 'snapshot.db');
  await writeFile(snapshot, 'not a snapshot');
  for (const file of [snapshot, join(data, 'missing.db')]) {
    await assert.rejects(run(join(folder, 'restore.sh'), [file], { env }));
    assert.deepEqual(await readdir(join(data, 'data')), ['member'], file);
  }
});

test('The README’s commands put secrets neither on a command line, nor into a file that others can read, nor into a commit.', async (t) => {
  const text = await readFile(join(folder, 'README.md'), 'utf8');
  const blocks = [...text.matchAll(/^( *)```sh\n([\s\S]*?)^ *```$/gm)].map(([, , block = '']) => block);
  const [connect, renew] = ['get() {', 'mkdir'].map((word) => blocks.find((block) => block.trim().startsWith(word)));
  const made = await mkdtemp(join(tmpdir(), 'solotick-secrets-'));
  t.after(() => rm(made, { recursive: true }));
  await copyFile(join(folder, '../../.gitignore'), join(made, '.gitignore'));
  await chmod(made, 0o755);
  const programs = join(made, '.git/programs');
  await run('git', ['init', '-q', made]);
  await mkdir(programs);
  // Both record how they are called; aws also lists what others could see or commit while it has the secret.
  const called = `echo "$0 $*" >>${programs}/calls\n`;
  const look = `case "$2" in put-*) git status --short -uall; find . \\( -path ./.git -o -type d ! -perm /077 \\) -prune -o -type f -perm /077 -print;; esac\n`;
  await writeFile(join(programs, 'aws'), `#!/bin/sh\n${called}${look}echo '{"a": "hidden"}'\n`, { mode: 0o755 });
  await writeFile(join(programs, 'jq'), `#!/bin/sh\n${called}echo '{}'\n`, { mode: 0o755 });
  const env = { PATH: `${programs}:${process.env.PATH}`, CLUSTER: 'cluster' };
  const script = `umask 022\n${connect}${renew}aws secretsmanager put-all\n`;
  const { stdout } = await run('bash', ['-c', script], { cwd: made, env, timeout: 60_000 });
  assert.equal(stdout.replaceAll('{"a": "hidden"}\n', ''), '?? .gitignore\n./.gitignore\n'.repeat(2));
  assert.doesNotMatch(await readFile(join(programs, 'calls'), 'utf8'), /hidden/);
});

test('A machine stores its certificates under the names that etcd uses, with any node name.', async (t) => {
  const { stdout: found } = await run('python3', ['--version']).catch((error: Error) => {
    if (process.env.CI === 'true') throw error;
    t.skip(error.message);
    return { stdout: '' };
  });
  if (!found) return;
  const made = await mkdtemp(join(tmpdir(), 'solotick-machine-'));
  t.after(() => rm(made, { recursive: true }));
  const script = await readFile(join(folder, 'ec2.sh'), 'utf8');
  const code = /python3 -c '([^']+)'/.exec(script)?.[1] ?? '';
  for (const name of ['etcd-1', 'a', 'c']) {
    const secret: Record<string, string> = { [`${name}.pem`]: 'its own', [`${name}-key.pem`]: 'its key' };
    for (const shared of ['ca.pem', 'root.pem', 'root-key.pem', 'password']) secret[shared] = shared;
    const own = join(made, name);
    await mkdir(own);
    const running = run('python3', ['-c', code.replace('/etc/etcd', own), name]);
    running.child.stdin?.end(JSON.stringify(secret));
    await running;
    const files = (await readdir(own)).sort();
    assert.deepEqual(files, ['ca.pem', 'node-key.pem', 'node.pem', 'password', 'root-key.pem', 'root.pem'], name);
    const contents = await Promise.all(files.map((file) => readFile(join(own, file), 'utf8')));
    assert.deepEqual(contents, ['ca.pem', 'its key', 'its own', 'password', 'root-key.pem', 'root.pem'], name);
  }
});
