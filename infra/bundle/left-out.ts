import type { Plugin } from 'esbuild';

/**
 * What packages load although nothing here uses it: together a third of the artifact, and a tenth of what a cold start has to
 * compile. Given as the folder of the file that asks for it, and the paths that it asks for.
 */
const leftOut: [importer: RegExp, path: RegExp][] = [
  // gRPC: everything of its servers, and balancing that only a service configuration asks for.
  [/grpc-js\/build\/src$/, /^\.\/(server|server-credentials|server-interceptors|orca|experimental)$/],
  [/grpc-js\/build\/src$/, /^\.\/load-balancer-(outlier-detection|weighted-round-robin)$/],
  [/grpc-js\/build\/src$/, /^@grpc\/proto-loader$/],
  // undici: bodies of fetch, and the parser for machines without SIMD, on which Lambda does not run.
  [/undici\/lib\/\w+$/, /^\.\.\/web\/|^\.\.\/llhttp\/llhttp-wasm\.js$/],
];

/** Of undici's index: what lib/http/client.ts imports, and the methods of it that are put together there. */
const UNDICI = `
Object.assign(require('./lib/dispatcher/dispatcher').prototype, { request: require('./lib/api/api-request') });
exports.Client = require('./lib/dispatcher/client');
exports.buildConnector = require('./lib/core/connect');
exports.errors = require('./lib/core/errors');
`;

/** Whoever needs it after all is told. gRPC has each kind of balancing set itself up. */
const stub = (what: string) => `
module.exports = new Proxy({ setup() {} }, {
  get(known, name) {
    if (name in known) return known[name];
    throw new Error('${what} is left out of the bundle: see infra/bundle/left-out.ts');
  },
});
`;

/**
 * An `import` of one of Node's own modules reads everything that it exports, getters too: of `http` they load Node's own copy
 * of undici, of `process` they set up its reports. The exports that are imported are enough; another one that is imported by name fails the build.
 */
const nodeModules: Record<string, string> = {
  'node:http':
    "const http = process.getBuiltinModule('node:http'); export default http; export const { STATUS_CODES, request } = http;",
  'node:process': 'export const { env, versions } = process;',
};

/** Keeps what nobody uses out of the bundle. The build fails when a package no longer asks for what is listed here. */
export const unusedParts: Plugin = {
  name: 'unused-parts',
  setup(build) {
    const unmet = new Set<unknown>(leftOut);
    build.onLoad({ filter: /[\\/]undici[\\/]index\.js$/ }, () => ({ contents: UNDICI }));
    build.onResolve({ filter: /./ }, ({ path, resolveDir, kind }) => {
      if (path in nodeModules && kind !== 'require-call') return { path, namespace: 'node-modules' };
      const folder = resolveDir.replaceAll('\\', '/');
      const found = leftOut.find(([importer, wanted]) => importer.test(folder) && wanted.test(path));
      if (!found) return null;
      unmet.delete(found);
      return { path, namespace: 'left-out' };
    });
    build.onLoad({ filter: /./, namespace: 'left-out' }, ({ path }) => ({ contents: stub(path) }));
    build.onLoad({ filter: /./, namespace: 'node-modules' }, ({ path }) => ({ contents: nodeModules[path]! }));
    build.onEnd(({ errors }) => {
      if (unmet.size === 0 || errors.length > 0) return null;
      return {
        errors: [{ text: `nothing asks for ${[...unmet].join(', ')}: infra/bundle/left-out.ts has to be adapted` }],
      };
    });
  },
};
