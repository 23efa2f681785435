import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Plugin } from 'esbuild';
import protobuf from 'protobufjs';

const LOADER = 'require("@grpc/proto-loader")';
// biome-ignore lint/suspicious/noTemplateCurlyInString: this is source text of etcd3
const LOADS_FROM_DISK = '(0, proto_loader_1.loadSync)(`${__dirname}/../proto/rpc.proto`, {';
const KEEPS_CASE = 'keepCase: true,';
const SERVICES = 'etcd-services';

/**
 * etcd3 reads three .proto files beside itself when it is imported; a bundle has no such files. This puts their content
 * in as JSON instead, has infra/etcd-services.ts make of it what etcd3 needs, and leaves every option of etcd3's own call
 * as it is. The build fails when etcd3 looks different.
 */
export const etcdProtos: Plugin = {
  name: 'etcd-protos',
  setup(build) {
    let replaced = false;
    build.onLoad({ filter: /[\\/]etcd3[\\/]lib[\\/]connection-pool\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const once = [LOADER, LOADS_FROM_DISK].every((text) => source.split(text).length === 2);
      if (!once || !source.includes(KEEPS_CASE))
        throw new Error(`${path} does not load its .proto files as expected: infra/etcd-protos.ts has to be adapted`);
      const descriptor = describeProto(join(path, '../../proto/rpc.proto'));
      replaced = true;
      const contents = source
        .replace(LOADER, `require("${SERVICES}")`)
        .replace(LOADS_FROM_DISK, () => `(0, proto_loader_1.servicesOf)(${descriptor}, {`);
      return { contents };
    });
    build.onResolve({ filter: RegExp(`^${SERVICES}$`) }, () => ({ path: join(import.meta.dirname, `${SERVICES}.ts`) }));
    build.onEnd(({ errors }) => {
      if (replaced || errors.length > 0) return null;
      return { errors: [{ text: 'etcd3/lib/connection-pool.js is not part of the bundle: has etcd3 moved it?' }] };
    });
  },
};

/** Those of etcd's services that lib/etcd.ts calls, and the one by which etcd3 gets a token. */
const USED = ['KV', 'Lease', 'Auth'];

/**
 * The JSON of a .proto file and all it imports, as `Root.fromJSON` of protobufjs reads it, without the services that are not
 * used and the messages that only they have. Only `keepCase` acts when a file is parsed; the other options act when
 * messages are decoded.
 */
export function describeProto(file: string): string {
  const root = new protobuf.Root().loadSync(file, { keepCase: true });
  root.resolveAll();
  const needed = new Set<protobuf.ReflectionObject | null>();
  const need = (type: protobuf.ReflectionObject | null) => {
    // A type may stand within another one, which has to stay then.
    for (let outer = type; outer && !needed.has(outer); outer = outer.parent) {
      needed.add(outer);
      if (outer instanceof protobuf.Type) for (const field of outer.fieldsArray) need(field.resolvedType);
    }
  };
  const api = root.lookup('etcdserverpb') as protobuf.Namespace;
  for (const service of api.nestedArray) {
    if (!(service instanceof protobuf.Service && USED.includes(service.name))) continue;
    need(service);
    for (const { resolvedRequestType, resolvedResponseType } of service.methodsArray) {
      need(resolvedRequestType);
      need(resolvedResponseType);
    }
  }
  const prune = (namespace: protobuf.NamespaceBase) => {
    for (const part of namespace.nestedArray)
      if (!needed.has(part)) namespace.remove(part);
      else if (part instanceof protobuf.Namespace) prune(part);
  };
  prune(root);
  return JSON.stringify(root.toJSON());
}
