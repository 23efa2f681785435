import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { type BuildOptions, build as bundle, type Metafile } from 'esbuild';
import { serviceFolder } from '../../infra/bundle/artifact.ts';
import { build } from '../../infra/bundle/build.ts';
import { compileServices, etcdProtos } from '../../infra/bundle/etcd-protos.ts';
import { unusedParts } from '../../infra/bundle/left-out.ts';
import { serve } from '../../infra/local/serve.ts';
import { testProject } from '../support/project/project.ts';

/** The functions by which gRPC encodes a request and decodes an answer. */
interface Method {
  requestSerialize(message: object): Buffer;
  responseDeserialize(bytes: Buffer): object;
}

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

test('Every chunk of the bundle loads in a folder without node_modules, and each function has a handler.', async () => {
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

test('The output has the functions, their chunks, a package.json and the licences, and nothing from an earlier build.', async () => {
  const expected = ['THIRD-PARTY-LICENSES', 'backfill.js', 'chunks', 'control.js', 'package.json', 'sync.js'];
  assert.deepEqual((await readdir(outDir)).sort(), expected);
});

test('Two builds of the same sources are byte-identical in any folder.', async () => {
  const other = join(folder, 'somewhere', 'else');
  await build({ outDir: other });
  assert.deepEqual(await contents(other), await contents(outDir));
});

test('A kind of authorization that a job uses is a chunk that only its requests load; one that no job uses is not shipped.', async () => {
  const kinds = /lib\/http\/(oauth2|sigv4)\.ts|node_modules\/oauth4webapi/;
  const inputsOf = ({ outputs }: Metafile) => Object.values(outputs).map(({ inputs }) => Object.keys(inputs));
  const project = await serviceFolder(join(folder, 'kinds'), testProject);
  const without = join(folder, 'without');
  assert.deepEqual(
    inputsOf(await build({ outDir: without, project }))
      .flat()
      .filter((path) => kinds.test(path)),
    [],
  );
  assert.ok(!(await readFile(join(without, 'THIRD-PARTY-LICENSES'), 'utf8')).includes('oauth4webapi'));

  await copyFile(join(import.meta.dirname, '../vocabulary/jobs/crm.ts'), join(project, 'functions/jobs/crm.ts'));
  const job = join(project, 'functions/jobs/crm.ts');
  await writeFile(job, (await readFile(job, 'utf8')).replace('../../../lib', '../../lib'));
  const inputs = inputsOf(await build({ outDir: join(folder, 'oauth2'), project }));
  const chunk = inputs.filter((paths) => paths.some((path) => kinds.test(path)));
  assert.equal(chunk.length, 1);
  assert.ok(!chunk[0]?.some((path) => /functions\/|lib\/(run|read)\//.test(path)));
});

test('A skipped tick loads neither the HTTP client nor the engine.', () => {
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

test('Each job is a chunk of its own, which a function loads only if it is told to by JOB.', async () => {
  const project = await serviceFolder(folder, testProject);
  const own = join(folder, 'two-jobs');
  const { outputs } = await build({ project, outDir: own });
  const chunkOf = (job: string) => {
    const [[path = '', chunk] = [], ...others] = Object.entries(outputs).filter(([, { inputs }]) =>
      Object.keys(inputs).some((input) => input.endsWith(`project/jobs/${job}.ts`)),
    );
    assert.deepEqual(others, []);
    const jobs = Object.keys(chunk?.inputs ?? {}).filter((input) => /\/jobs\/\w+\.ts$/.test(input));
    assert.ok(
      jobs.every((input) => input.endsWith(`/jobs/${job}.ts`)),
      String(jobs),
    );
    const imports = Object.values(outputs).flatMap((output) => output.imports.filter((one) => one.path === path));
    assert.ok(imports.length > 0 && imports.every(({ kind }) => kind === 'dynamic-import'), job);
    return basename(path);
  };
  const [models, prices] = [chunkOf('models'), chunkOf('prices')];
  // A loader hook prints what a process loads.
  const script = `
    import { registerHooks } from 'node:module';
    registerHooks({ load: (url, context, next) => (console.log(url), next(url, context)) });
    const { handler } = await import('./sync.js');
    await handler({}, { getRemainingTimeInMillis: () => 60000 }).catch(() => undefined);
    process.exit();`;
  await writeFile(join(own, 'load.mjs'), script);
  const env = { JOB: 'prices' };
  const { stdout } = await promisify(execFile)(process.execPath, [join(own, 'load.mjs')], { cwd: own, env });
  assert.ok(stdout.includes(prices), stdout);
  assert.ok(!stdout.includes(models), stdout);
});

test('The replacement for etcd3’s .proto files sends the same bytes to the same methods and reads the same answers.', () => {
  const etcd3 = createRequire(import.meta.url).resolve('etcd3');
  const { loadSync } = createRequire(etcd3)('@grpc/proto-loader');
  const proto = join(dirname(etcd3), '../proto/rpc.proto');
  const options = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };
  const theirs = loadSync(proto, options);
  const compiled: { servicesOf?: (given: typeof options) => Record<string, Record<string, Method>> } = {};
  new Function('require', 'exports', compileServices(proto))(createRequire(import.meta.url), compiled);
  const own = compiled.servicesOf!(options);

  const [key, value, lease] = [Buffer.from('a/1'), Buffer.from('{}'), '9007199254740993'];
  const header = { cluster_id: '18446744073709551615', member_id: '1', revision: '9007199254740995', raft_term: '2' };
  const kv = { key, value, lease, version: '3', create_revision: '4', mod_revision: '5' };
  const compare = { target: 'CREATE', result: 'EQUAL', key, range_end: Buffer.from('a0'), create_revision: '0' };
  const range = { key, sort_order: 'ASCEND', sort_target: 'CREATE', limit: '1', serializable: true };
  const requests = [
    { request_put: { key, value, lease } },
    { request_delete_range: { key } },
    { request_range: range },
  ];
  const responses = [
    { response_range: { header, kvs: [kv, {}], more: true, count: '2' } },
    { response_put: { prev_kv: kv } },
    { response_delete_range: { deleted: '1', prev_kvs: [kv] } },
    { response_txn: { succeeded: true } },
  ];
  const exchanges: Record<string, [request: object, answer: object]> = {
    'Auth/Authenticate': [
      { name: 'bench', password: 'ä' },
      { header, token: 'x.1' },
    ],
    'KV/Txn': [
      {
        compare: [compare, { target: 'LEASE', lease: '0' }],
        success: requests,
        failure: [{ request_txn: { success: requests } }],
      },
      { header, succeeded: true, responses },
    ],
    'Lease/LeaseGrant': [
      { TTL: 15, ID: lease },
      { header, ID: lease, TTL: '15', error: 'no' },
    ],
    'Lease/LeaseRevoke': [{ ID: lease }, { header }],
    'Lease/LeaseKeepAlive': [{ ID: lease }, { header, ID: lease, TTL: '-1' }],
    'Lease/LeaseTimeToLive': [
      { ID: lease, keys: true },
      { ID: lease, TTL: '14', grantedTTL: '15', keys: [key, value] },
    ],
  };
  const names = Object.entries(own).flatMap(([service, methods]) =>
    Object.keys(methods).map((method) => `${service.replace('etcdserverpb.', '')}/${method}`),
  );
  assert.deepEqual(names, Object.keys(exchanges));
  for (const [name, [request, answer]] of Object.entries(exchanges)) {
    const [service, method] = name.split('/') as [string, string];
    const mine = own[`etcdserverpb.${service}`]![method]!;
    const other = theirs[`etcdserverpb.${service}`][method];
    const { path, originalName, requestStream, responseStream } = other;
    assert.partialDeepStrictEqual(mine, { path, originalName, requestStream, responseStream });
    for (const sent of [request, {}]) assert.deepEqual(mine.requestSerialize(sent), other.requestSerialize(sent), name);
    assert.ok(mine.requestSerialize(request).length > 0);
    for (const got of [answer, {}].map((message) => other.responseSerialize(message)))
      assert.deepEqual(mine.responseDeserialize(got), other.responseDeserialize(got), name);
    assert.partialDeepStrictEqual(mine.responseDeserialize(other.responseSerialize(answer)), answer);
  }
});

test('The reduced undici sends, streams and reports broken answers as the whole one does.', async () => {
  const file = join(folder, 'clients.mjs');
  await bundle({
    stdin: {
      contents: "export * from './lib/http/client.ts'; export * from './lib/lock/etcd.ts';",
      resolveDir: join(import.meta.dirname, '../..'),
    },
    ...{ bundle: true, outfile: file, format: 'esm', platform: 'node', target: 'node24', logLevel: 'silent' },
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    plugins: [etcdProtos, unusedParts],
  });
  const { createHttp }: typeof import('../../lib/http/client.ts') = await import(pathToFileURL(file).href);
  await using server = await serve((request, response) => {
    if (request.url === '/broken')
      response.writeHead(200, { 'content-length': 100 }).write('half', () => response.destroy());
    else request.pipe(response);
  });
  const cut = new AbortController();
  // By name, so that the look-up and the race of the addresses are part of it.
  const url = server.url.replace('127.0.0.1', 'localhost');
  await using http = createHttp(url, { timeoutMs: 5000, maxBytes: 10, signal: cut.signal });
  const request = { method: 'PUT', path: '/', headers: { 'x-a': 'b' } };
  const answer = await http.send({ ...request, body: 'größe' });
  assert.equal(Buffer.from(answer.body).toString(), 'größe');
  await assert.rejects(http.send({ ...request, body: 'more than ten bytes' }), { message: /larger than 10 bytes/ });
  await assert.rejects(http.send({ ...request, path: '/broken' }), { name: 'HttpError', transient: true });
  await assert.rejects(http.send({ ...request, headers: { 'x-a': '\n' } }), { name: 'HttpError', transient: false });
  const pieces = [];
  using streamed = await http.stream({ ...request, body: 'more than ten bytes' });
  for await (const piece of streamed.body) pieces.push(piece);
  assert.equal(Buffer.concat(pieces).toString(), 'more than ten bytes');
  using broken = await http.stream({ ...request, path: '/broken' });
  await assert.rejects(Array.fromAsync(broken.body), { name: 'HttpError', transient: true });
  cut.abort(new Error('cut'));
  await assert.rejects(http.send(request), { message: 'cut' });
});

test('The build fails if etcd3 loads its .proto files differently.', async () => {
  const lib = join(folder, 'other', 'node_modules/etcd3/lib');
  await mkdir(lib, { recursive: true });
  await writeFile(join(lib, 'connection-pool.js'), 'exports.packageDefinition = loadSync("../proto/rpc.proto");');
  const options: BuildOptions = { bundle: true, write: false, logLevel: 'silent', plugins: [etcdProtos] };
  await assert.rejects(
    bundle({ ...options, entryPoints: [join(lib, 'connection-pool.js')] }),
    /adapt infra\/bundle\/etcd-protos/,
  );
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
