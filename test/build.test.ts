import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { type BuildOptions, build as bundle, type Metafile } from 'esbuild';
import { build } from '../infra/build.ts';
import { describeProto, etcdProtos } from '../infra/etcd-protos.ts';
import { servicesOf } from '../infra/etcd-services.ts';

let folder: string;
let outDir: string;
let metafile: Metafile;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'solotick-build-'));
  outDir = join(folder, 'dist');
  await mkdir(outDir);
  await writeFile(join(outDir, 'stale.js'), 'throw new Error("this is of an earlier build")');
  metafile = await build({ outDir });
});

after(() => rm(folder, { recursive: true, force: true }));

test('The bundle loads in a folder without node_modules, every chunk of it, and exports a handler for each function.', async () => {
  const script = `
    const { readdirSync } = await import('node:fs');
    for (const name of readdirSync('chunks')) await import('./chunks/' + name);
    for (const name of ['sync', 'backfill', 'control']) console.log(name, typeof (await import('./' + name + '.js')).handler);
  `;
  const load = join(outDir, 'load.mjs');
  await writeFile(load, script);
  const { stdout } = await promisify(execFile)(process.execPath, [load], { cwd: outDir, env: {} });
  await rm(load);
  assert.equal(stdout, 'sync function\nbackfill function\ncontrol function\n');
});

test('The output holds the functions, their chunks and a package.json, and nothing of an earlier build.', async () => {
  assert.deepEqual((await readdir(outDir)).sort(), ['backfill.js', 'chunks', 'control.js', 'package.json', 'sync.js']);
});

test('Two builds of the same sources are the same bytes, wherever they are written.', async () => {
  const other = join(folder, 'somewhere', 'else');
  await build({ outDir: other });
  assert.deepEqual(await contents(other), await contents(outDir));
});

test('What a skipped tick loads holds neither the HTTP client nor the engine.', () => {
  const outputs = new Map(Object.entries(metafile.outputs));
  const loaded = new Set([...outputs.keys()].filter((path) => basename(path) === 'sync.js'));
  for (const path of loaded)
    for (const { path: next, kind } of outputs.get(path)?.imports ?? [])
      if (kind === 'import-statement' && outputs.has(next)) loaded.add(next);
  const inputs = [...loaded].flatMap((path) => Object.keys(outputs.get(path)?.inputs ?? {}));
  assert.ok(inputs.some((path) => path.includes('node_modules/etcd3/')));
  assert.deepEqual(
    inputs.filter((path) => /node_modules\/(undici|p-limit)\//.test(path)),
    [],
  );
});

test('The JSON in the place of etcd3’s .proto files gives the same services, messages and bytes.', () => {
  const etcd3 = createRequire(import.meta.url).resolve('etcd3');
  const { loadSync } = createRequire(etcd3)('@grpc/proto-loader');
  const proto = join(dirname(etcd3), '../proto/rpc.proto');
  const options = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };
  const expected = loadSync(proto, options);
  const actual = servicesOf(JSON.parse(describeProto(proto)), options);

  const used = ['etcdserverpb.Auth', 'etcdserverpb.KV', 'etcdserverpb.Lease'];
  assert.deepEqual(Object.keys(actual).sort(), used);
  for (const service of used) {
    assert.deepEqual(Object.keys(actual[service]!), Object.keys(expected[service]), service);
    for (const [name, method] of Object.entries(actual[service]!)) {
      const { path, originalName, requestStream, responseStream } = expected[service][name];
      assert.partialDeepStrictEqual(method, { path, originalName, requestStream, responseStream });
    }
  }

  const transaction = {
    compare: [
      { target: 'CREATE', result: 'EQUAL', key: Buffer.from('a/'), range_end: Buffer.from('a0'), create_revision: '0' },
    ],
    success: [{ request_put: { key: Buffer.from('a/1'), value: Buffer.from('{}'), lease: '9007199254740993' } }],
    failure: [{ request_range: { key: Buffer.from('a/'), sort_order: 'ASCEND', sort_target: 'CREATE', limit: '1' } }],
  };
  const [own, theirs] = [actual, expected].map((definition) => definition['etcdserverpb.KV']!.Txn);
  const bytes = own.requestSerialize(transaction);
  assert.ok(bytes.length > 0);
  assert.deepEqual(bytes, theirs.requestSerialize(transaction));
  assert.equal(theirs.requestDeserialize(bytes).success[0].request_put.lease, '9007199254740993');

  const kvs = [{ key: Buffer.from('a/1'), value: Buffer.from('{}'), lease: '9007199254740993', version: '3' }];
  const answer = theirs.responseSerialize({
    ...{ header: { revision: '9007199254740995' }, succeeded: true },
    responses: [{ response_range: { kvs, count: '1' } }],
  });
  assert.deepEqual(own.responseDeserialize(answer), theirs.responseDeserialize(answer));
  assert.equal(own.responseDeserialize(answer).header.revision, '9007199254740995');
});

test('The build fails when etcd3 no longer loads its .proto files as it did.', async () => {
  const lib = join(folder, 'other', 'node_modules/etcd3/lib');
  await mkdir(lib, { recursive: true });
  await writeFile(join(lib, 'connection-pool.js'), 'exports.packageDefinition = loadSync("../proto/rpc.proto");');
  const options: BuildOptions = { bundle: true, write: false, logLevel: 'silent', plugins: [etcdProtos] };
  await assert.rejects(bundle({ ...options, entryPoints: [join(lib, 'connection-pool.js')] }), /has to be adapted/);
  await assert.rejects(
    bundle({ ...options, stdin: { contents: '1' } }),
    /connection-pool\.js is not part of the bundle/,
  );
});

async function contents(of: string): Promise<Record<string, string>> {
  const files = (await readdir(of, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const read = files.map(async ({ parentPath, name }) => {
    const path = join(parentPath, name);
    return [path.slice(of.length), await readFile(path, 'utf8')] as const;
  });
  return Object.fromEntries((await Promise.all(read)).sort());
}
