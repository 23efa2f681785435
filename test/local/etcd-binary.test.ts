import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { findEtcd } from '../../infra/local/etcd/binary.ts';
import { startEtcd } from '../../infra/local/etcd/etcd.ts';
import { serve } from '../../infra/local/serve.ts';

const run = promisify(execFile);
const platform = `${process.platform}-${process.arch}`;

/** A folder for the test, an empty cache and an empty PATH in it, and a release that cannot be reached. */
async function nothingHere(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'solotick-find-'));
  t.after(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, 'bin'));
  const gone = await serve(() => {});
  await gone[Symbol.asyncDispose]();
  return {
    folder,
    env: { PATH: join(folder, 'bin'), XDG_CACHE_HOME: join(folder, 'cache') } as NodeJS.ProcessEnv,
    release: releaseAt(gone.url),
  };
}

function releaseAt(baseUrl: string, sha256 = 'none') {
  return { version: 'v3.5.1', baseUrl, archives: { [platform]: { name: 'fake.tar.gz', sha256 } } };
}

/** A program that only prints a version. */
async function fake(folder: string, program: string, version: string) {
  await mkdir(folder, { recursive: true });
  const path = join(folder, program);
  await writeFile(path, `#!/bin/sh\necho "${program} Version: ${version}"\n`);
  await chmod(path, 0o755);
  return path;
}

async function fakePair(folder: string, version: string) {
  return { etcd: await fake(folder, 'etcd', version), etcdctl: await fake(folder, 'etcdctl', version) };
}

/** Packs a release as upstream does, and serves it. */
async function serveRelease(folder: string) {
  await fakePair(join(folder, 'etcd-v3.5.1-fake'), '3.5.1');
  const file = join(folder, 'etcd-v3.5.1-fake.tar.gz');
  await run('tar', ['-czf', file, '-C', folder, 'etcd-v3.5.1-fake']);
  const bytes = await readFile(file);
  const server = await serve((request, response) => {
    response.writeHead(request.url === '/v3.5.1/etcd-v3.5.1-fake.tar.gz' ? 200 : 404).end(bytes);
  });
  return { server, release: releaseAt(server.url, createHash('sha256').update(bytes).digest('hex')) };
}

test('ETCD_BIN goes before PATH, with the etcdctl beside it', async (t) => {
  const { folder, env, release } = await nothingHere(t);
  await fakePair(join(folder, 'bin'), '3.5.2');
  const own = await fakePair(join(folder, 'own'), '3.5.3');
  const found = await findEtcd({ env: { ...env, ETCD_BIN: own.etcd }, release });
  assert.deepEqual(found, { ...own, version: '3.5.3', origin: 'ETCD_BIN' });
});

test('ETCDCTL_BIN goes before the etcdctl beside ETCD_BIN', async (t) => {
  const { folder, env, release } = await nothingHere(t);
  const { etcd } = await fakePair(join(folder, 'own'), '3.5.3');
  const etcdctl = await fake(join(folder, 'elsewhere'), 'etcdctl', '3.5.4');
  const found = await findEtcd({ env: { ...env, ETCD_BIN: etcd, ETCDCTL_BIN: etcdctl }, release });
  assert.equal(found.etcdctl, etcdctl);
});

test('an ETCD_BIN that leads nowhere is an error, whatever else there is', async (t) => {
  const { folder, env, release } = await nothingHere(t);
  await fakePair(join(folder, 'bin'), '3.5.2');
  const missing = join(folder, 'missing');
  await assert.rejects(findEtcd({ env: { ...env, ETCD_BIN: missing }, release }), {
    message: `ETCD_BIN is set, but does not lead to an etcd: ${missing} does not exist`,
  });
});

test('etcd on PATH is taken', async (t) => {
  const { folder, env, release } = await nothingHere(t);
  const pair = await fakePair(join(folder, 'bin'), '3.4.0');
  assert.deepEqual(await findEtcd({ env, release }), { ...pair, version: '3.4.0', origin: 'PATH' });
});

test('a cached etcd replaces one on PATH that is too old or has no etcdctl', async (t) => {
  const { folder, env, release } = await nothingHere(t);
  await fake(join(folder, 'bin'), 'etcd', '3.5.2');
  const cached = await fakePair(join(folder, 'cache/solotick', `etcd-packages-${platform}`), '3.5.16');
  assert.equal((await findEtcd({ env, release })).etcd, cached.etcd);
  await fakePair(join(folder, 'bin'), '3.3.25');
  assert.equal((await findEtcd({ env, release })).etcd, cached.etcd);
});

test('the upstream release is downloaded once, checked, and found in the cache from then on', async (t) => {
  const { folder, env } = await nothingHere(t);
  const { server, release } = await serveRelease(folder);
  const lines: string[] = [];
  const found = await findEtcd({ env, release, onProgress: (line) => lines.push(line) });
  await server[Symbol.asyncDispose]();
  assert.equal(found.version, '3.5.1');
  assert.match(found.origin, /^the upstream release \(http/);
  assert.equal(lines.length, 1);
  const again = await findEtcd({ env, release, onProgress: (line) => lines.push(line) });
  assert.deepEqual(again, { ...found, origin: 'the cached upstream release' });
  assert.equal(lines.length, 1);
});

test('a release whose checksum is not the pinned one is not used', async (t) => {
  const { folder, env } = await nothingHere(t);
  const { server, release } = await serveRelease(folder);
  await using _ = server;
  const forged = releaseAt(release.baseUrl, '0'.repeat(64));
  await assert.rejects(findEtcd({ env, release: forged }), /has SHA-256 [0-9a-f]{64} instead of 0{64}/);
  assert.deepEqual(await readdir(join(folder, 'cache/solotick')), []);
});

test('concurrent callers share one complete copy in the cache', async (t) => {
  const { folder, env } = await nothingHere(t);
  const { server, release } = await serveRelease(folder);
  await using _ = server;
  const found = await Promise.all(Array.from({ length: 5 }, () => findEtcd({ env, release })));
  assert.equal(new Set(found.map(({ etcd }) => etcd)).size, 1);
  assert.deepEqual(await readdir(join(folder, 'cache/solotick')), [`etcd-v3.5.1-${platform}`]);
});

test('a cached copy that does not run is replaced', async (t) => {
  const { folder, env } = await nothingHere(t);
  const { server, release } = await serveRelease(folder);
  await using _ = server;
  const cached = join(folder, 'cache/solotick', `etcd-v3.5.1-${platform}`);
  await mkdir(cached, { recursive: true });
  await writeFile(join(cached, 'etcd'), 'half a file', { mode: 0o755 });
  assert.equal((await findEtcd({ env, release })).version, '3.5.1');
});

test('if every way fails, one message lists what was tried and what helps', async (t) => {
  const { env, release } = await nothingHere(t);
  await assert.rejects(findEtcd({ env, release }), ({ message }: Error) => {
    assert.match(message, /^No etcd was found/);
    assert.match(message, /- PATH: no etcd there/);
    assert.match(message, /- upstream release: http:\/\/127\.0\.0\.1:\S+: .*ECONNREFUSED/);
    assert.match(message, /- Debian or Ubuntu packages: no apt-get here/);
    for (const way of ['ETCD_BIN', 'apt-get install etcd-server etcd-client', 'brew install etcd']) {
      assert.ok(message.includes(way), way);
    }
    return true;
  });
});

test('a host that accepts connections and never answers does not block the search', { timeout: 30_000 }, async (t) => {
  const { env } = await nothingHere(t);
  const silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const release = releaseAt(`http://127.0.0.1:${(silent.address() as AddressInfo).port}`);
  try {
    await assert.rejects(findEtcd({ env, release }), /no answer in time/);
  } finally {
    silent.close();
  }
});

test('the message contains apt’s complaint', async (t) => {
  const { folder, env, release } = await nothingHere(t);
  const apt = await fake(join(folder, 'bin'), 'apt-get', '');
  await writeFile(apt, '#!/bin/sh\necho "E: The list of sources could not be read." >&2\nexit 100\n');
  await assert.rejects(findEtcd({ env, release }), /packages: .*The list of sources could not be read/);
});

test('with an empty cache, a real etcd is found on this machine, and it runs', { timeout: 600_000 }, async (t) => {
  const { folder } = await nothingHere(t);
  const { ETCD_BIN: _, ETCDCTL_BIN: __, ...env } = process.env;
  const found = await findEtcd({ env: { ...env, XDG_CACHE_HOME: join(folder, 'cache') } });
  assert.match((await run(found.etcd, ['--version'])).stdout, new RegExp(`etcd Version: ${found.version}`));
});

for (const nodes of [1, 3] as const) {
  test(`etcd with ${nodes} node(s) keeps its data when a node is killed and started again`, async () => {
    await using etcd = await startEtcd({ nodes });
    assert.equal(etcd.endpoints.length, nodes);
    await etcd.etcdctl(['put', 'key', 'value']);
    const [node] = etcd.nodes;
    const before = node!.pid;
    await node!.kill('SIGKILL');
    if (nodes === 3) assert.equal(await etcd.etcdctl(['get', 'key', '--print-value-only']), 'value\n');
    await node!.restart();
    assert.notEqual(node!.pid, before);
    assert.equal(await etcd.etcdctl(['get', 'key', '--print-value-only']), 'value\n');
    await assert.rejects(etcd.etcdctl(['no-such-command']), /unknown command/);
  });
}

test('the error of an etcd that cannot start contains its complaint', async () => {
  await assert.rejects(startEtcd({ extraArgs: ['--no-such-flag'] }), /ended by itself[\s\S]*no-such-flag/);
});

test('A search that is killed during a download leaves nothing behind.', async (t) => {
  const { folder, env, release } = await nothingHere(t);
  const begun = join(folder, 'begun');
  await writeFile(join(folder, 'bin/apt-get'), `#!/bin/sh\n: >"${begun}"\nexec /bin/sleep 10\n`, { mode: 0o755 });
  await mkdir(join(folder, 'tmp'));
  const script = `
    import { findEtcd } from '${new URL('../../infra/local/etcd/binary.ts', import.meta.url)}';
    process.once('SIGTERM', () => process.exit(130));
    await findEtcd(${JSON.stringify({ env, release })});`;
  const args = ['--input-type=module', '--eval', script];
  // Its own process group, so that the signal reaches all its processes, as Ctrl-C in a terminal does.
  const child = spawn(process.execPath, args, {
    env: { ...process.env, TMPDIR: join(folder, 'tmp') },
    detached: true,
    stdio: 'ignore',
  });
  const closed = once(child, 'close');
  while (child.exitCode === null && !(await readdir(folder)).includes('begun')) await sleep(10);
  assert.equal((await readdir(join(folder, 'cache/solotick'))).length, 1);
  process.kill(-child.pid!, 'SIGTERM');
  assert.deepEqual(await closed, [130, null]);
  for (const place of ['tmp', 'cache/solotick']) assert.deepEqual(await readdir(join(folder, place)), [], place);
});
