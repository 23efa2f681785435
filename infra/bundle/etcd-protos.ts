import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Plugin } from 'esbuild';
import protobuf from 'protobufjs';

const LOADER = 'require("@grpc/proto-loader")';
// biome-ignore lint/suspicious/noTemplateCurlyInString: source text of etcd3
const LOADS_FROM_DISK = '(0, proto_loader_1.loadSync)(`${__dirname}/../proto/rpc.proto`, {';
const KEEPS_CASE = 'keepCase: true,';
const SERVICES = 'etcd-services';

/**
 * etcd3 reads three .proto files at import, and protobufjs generates code for each message at its first use. A bundle has no
 * such files, and a cold start has no time for that. This plugin generates the code when the bundle is built, and keeps the
 * options of etcd3's own call. The build fails if etcd3's source no longer matches.
 */
export const etcdProtos: Plugin = {
  name: 'etcd-protos',
  setup(build) {
    let replaced = false;
    build.onLoad({ filter: /[\\/]etcd3[\\/]lib[\\/]connection-pool\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const once = [LOADER, LOADS_FROM_DISK].every((text) => source.split(text).length === 2);
      if (!once || !source.includes(KEEPS_CASE))
        throw new Error(`${path} does not load its .proto files as expected: adapt infra/bundle/etcd-protos.ts`);
      replaced = true;
      return {
        contents: source
          .replace(LOADER, `require("${SERVICES}")`)
          .replace(LOADS_FROM_DISK, '(0, proto_loader_1.servicesOf)({'),
        pluginData: join(path, '../../proto/rpc.proto'),
      };
    });
    build.onResolve({ filter: RegExp(`^${SERVICES}$`) }, ({ pluginData }) => ({
      path: SERVICES,
      namespace: SERVICES,
      pluginData,
    }));
    build.onLoad({ filter: /./, namespace: SERVICES }, ({ pluginData }) => ({
      contents: compileServices(pluginData),
      resolveDir: import.meta.dirname,
    }));
    build.onEnd(({ errors }) => {
      if (replaced || errors.length > 0) return null;
      return { errors: [{ text: 'etcd3/lib/connection-pool.js is not part of the bundle: has etcd3 moved it?' }] };
    });
  },
};

/** The methods of etcd's API that lib/lock/etcd.ts calls, and the one by which etcd3 gets a token. */
const USED: Record<string, string[]> = {
  Auth: ['Authenticate'],
  KV: ['Txn'],
  Lease: ['LeaseGrant', 'LeaseRevoke', 'LeaseKeepAlive', 'LeaseTimeToLive'],
};

type Direction = 'write' | 'read';

/**
 * Generates a CommonJS module for a .proto file of etcd. Its `servicesOf(options)` returns what `loadPackageDefinition` of
 * @grpc/grpc-js needs to call the used methods. It honours the options of @grpc/proto-loader that apply when a message is
 * decoded; `keepCase`, which applies when a file is parsed, is set. protobufjs itself generates the code of the messages.
 */
export function compileServices(file: string): string {
  const root = new protobuf.Root().loadSync(file, { keepCase: true });
  root.resolveAll();
  const needed = new Map<protobuf.Type, Set<Direction>>();
  const need = (type: protobuf.Type, direction: Direction) => {
    const directions = needed.get(type) ?? new Set();
    needed.set(type, directions);
    if (directions.has(direction)) return;
    directions.add(direction);
    for (const { resolvedType } of type.fieldsArray)
      if (resolvedType instanceof protobuf.Type) need(resolvedType, direction);
  };
  const services = Object.entries(USED).map(([service, names]) => {
    const { methods } = root.lookupService(`etcdserverpb.${service}`);
    const texts = names.map((name) => {
      const method = methods[name]!;
      need(method.resolvedRequestType!, 'write');
      need(method.resolvedResponseType!, 'read');
      return methodText(service, method);
    });
    return `'etcdserverpb.${service}': { ${texts.join()} }`;
  });
  return [
    "const { Reader, Writer, util } = require('protobufjs/minimal');",
    'const messages = {};',
    ...[...needed].map(([type, directions]) => messageText(type, directions)),
    // Types refer to each other, so all must exist before these references are added.
    ...[...needed.keys()].map((type) => `${reference(type)}.types.push(${type.fieldsArray.map(fieldText).join()});`),
    `exports.servicesOf = (options) => ({ ${services.join()} });`,
  ].join('\n');
}

const reference = ({ fullName }: protobuf.Type) => `messages[${JSON.stringify(fullName)}]`;

/** The functions that protobufjs generates look up the types of the message's fields in `types`. */
function messageText(type: protobuf.Type, directions: Set<Direction>) {
  const { converter, encoder, decoder } = protobuf as unknown as Generators;
  const functions = [
    ...(directions.has('write') ? [`fromObject: ${converter.fromObject(type)}`, `encode: ${encoder(type)}`] : []),
    ...(directions.has('read') ? [`decode: ${decoder(type)}`, `toObject: ${converter.toObject(type)}`] : []),
  ];
  return `{ const types = []; ${reference(type)} = { types, ctor: class {}, ${functions.join()} }; }`;
}

/** The generators behind protobufjs' `Type.setup`, which has no declarations of them. Their results print as source. */
interface Generators {
  converter: Record<'fromObject' | 'toObject', (type: protobuf.Type) => { toString(): string }>;
  encoder(type: protobuf.Type): { toString(): string };
  decoder(type: protobuf.Type): { toString(): string };
}

function fieldText({ resolvedType }: protobuf.Field) {
  if (resolvedType instanceof protobuf.Type) return reference(resolvedType);
  // protobufjs expects one object that maps names to numbers and numbers to names.
  return resolvedType ? JSON.stringify({ values: { ...resolvedType.valuesById, ...resolvedType.values } }) : 'null';
}

/** Describes a method as @grpc/proto-loader does, without the parts for servers and reflection. */
function methodText(service: string, method: protobuf.Method) {
  const { name, requestStream = false, responseStream = false, resolvedRequestType, resolvedResponseType } = method;
  const [request, response] = [reference(resolvedRequestType!), reference(resolvedResponseType!)];
  return `${name}: {
    path: '/etcdserverpb.${service}/${name}',
    originalName: '${name[0]!.toLowerCase()}${name.slice(1)}',
    requestStream: ${requestStream},
    responseStream: ${responseStream},
    requestSerialize: (message) => ${request}.encode(${request}.fromObject(message)).finish(),
    responseDeserialize: (bytes) => ${response}.toObject(${response}.decode(bytes), options),
  }`;
}
