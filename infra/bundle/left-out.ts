import type { Plugin } from 'esbuild';

/**
 * Modules that packages load although nothing here uses them: together a third of the artifact, and a tenth of the code that
 * a cold start compiles. Each entry matches the folder of the importing file, and the path that it imports.
 */
const leftOut: [importer: RegExp, path: RegExp][] = [
  // gRPC: its servers, and load balancing that only a service configuration turns on.
  [/grpc-js\/build\/src$/, /^\.\/(server|server-credentials|server-interceptors|orca|experimental)$/],
  [/grpc-js\/build\/src$/, /^\.\/load-balancer-(outlier-detection|weighted-round-robin)$/],
  [/grpc-js\/build\/src$/, /^@grpc\/proto-loader$/],
  // undici: fetch's bodies, and the parser for machines without SIMD, which Lambda has.
  [/undici\/lib\/\w+$/, /^\.\.\/web\/|^\.\.\/llhttp\/llhttp-wasm\.js$/],
];

/** Replaces undici's index: the exports that lib/http/client.ts imports, and `request`, which the index adds to dispatchers. */
const UNDICI = `
Object.assign(require('./lib/dispatcher/dispatcher').prototype, { request: require('./lib/api/api-request') });
exports.Client = require('./lib/dispatcher/client');
exports.buildConnector = require('./lib/core/connect');
exports.errors = require('./lib/core/errors');
`;

/** Throws when a module that was left out is used after all. gRPC calls `setup` of each kind of load balancing. */
const stub = (what: string) => `
module.exports = new Proxy({ setup() {} }, {
  get(known, name) {
    if (name in known) return known[name];
    throw new Error('${what} was left out of the bundle: see infra/bundle/left-out.ts');
  },
});
`;

/**
 * An `import` of one of Node's own modules reads all of its exports. Some are getters with a cost: one of `http` loads Node's
 * copy of undici, one of `process` sets up its reports. These stand-ins export only what is used; an import of another name
 * fails the build.
 */
const nodeModules: Record<string, string> = {
  'node:http':
    "const http = process.getBuiltinModule('node:http'); export default http; export const { STATUS_CODES, request } = http;",
  'node:process': 'export const { env, versions } = process;',
};

/** Keeps unused modules out of the bundle. The build fails if no package imports a module that is listed here. */
export const unusedParts: Plugin = {
  name: 'unused-parts',
  setup(build) {
    const unmatched = new Set<unknown>(leftOut);
    build.onLoad({ filter: /[\\/]undici[\\/]index\.js$/ }, () => ({ contents: UNDICI }));
    build.onResolve({ filter: /./ }, ({ path, resolveDir, kind }) => {
      if (path in nodeModules && kind !== 'require-call') return { path, namespace: 'node-modules' };
      const folder = resolveDir.replaceAll('\\', '/');
      const found = leftOut.find(([importer, wanted]) => importer.test(folder) && wanted.test(path));
      if (!found) return null;
      unmatched.delete(found);
      return { path, namespace: 'left-out' };
    });
    build.onLoad({ filter: /./, namespace: 'left-out' }, ({ path }) => ({ contents: stub(path) }));
    build.onLoad({ filter: /./, namespace: 'node-modules' }, ({ path }) => ({ contents: nodeModules[path]! }));
    build.onEnd(({ errors }) => {
      if (unmatched.size === 0 || errors.length > 0) return null;
      return {
        errors: [{ text: `nothing imports ${[...unmatched].join(', ')}: adapt infra/bundle/left-out.ts` }],
      };
    });
  },
};
