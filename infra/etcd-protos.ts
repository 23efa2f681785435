import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Plugin } from 'esbuild';
import protobuf from 'protobufjs';

// biome-ignore lint/suspicious/noTemplateCurlyInString: this is source text of etcd3
const LOADS_FROM_DISK = '(0, proto_loader_1.loadSync)(`${__dirname}/../proto/rpc.proto`, {';
const KEEPS_CASE = 'keepCase: true,';

/**
 * etcd3 reads three .proto files beside itself when it is imported; a bundle has no such files. This puts their content
 * in as JSON instead, and leaves every option of etcd3's own call as it is. The build fails when etcd3 looks different.
 */
export const etcdProtos: Plugin = {
  name: 'etcd-protos',
  setup(build) {
    let replaced = false;
    build.onLoad({ filter: /[\\/]etcd3[\\/]lib[\\/]connection-pool\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      if (source.split(LOADS_FROM_DISK).length !== 2 || !source.includes(KEEPS_CASE))
        throw new Error(`${path} does not load its .proto files as expected: infra/etcd-protos.ts has to be adapted`);
      const descriptor = describeProto(join(path, '../../proto/rpc.proto'));
      replaced = true;
      return { contents: source.replace(LOADS_FROM_DISK, () => `(0, proto_loader_1.fromJSON)(${descriptor}, {`) };
    });
    build.onEnd(({ errors }) => {
      if (replaced || errors.length > 0) return null;
      return { errors: [{ text: 'etcd3/lib/connection-pool.js is not part of the bundle: has etcd3 moved it?' }] };
    });
  },
};

/**
 * The JSON of a .proto file and all it imports, as `fromJSON` of @grpc/proto-loader reads it. Only `keepCase` acts when
 * a file is parsed; the other options act when messages are decoded.
 */
export function describeProto(file: string): string {
  return JSON.stringify(new protobuf.Root().loadSync(file, { keepCase: true }).toJSON());
}
