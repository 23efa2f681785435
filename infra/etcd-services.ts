import protobuf from 'protobufjs/light.js';

/** As in the options of @grpc/proto-loader that act when a message is decoded. */
type Options = protobuf.IConversionOptions;

/**
 * What `loadPackageDefinition` of @grpc/grpc-js needs of etcd's services to call them. @grpc/proto-loader makes more of
 * them, for servers and for reflection, and that takes a third of a cold start.
 * @param json of etcd's .proto files
 */
export function servicesOf(json: protobuf.INamespace, options: Options) {
  const root = protobuf.Root.fromJSON(json);
  const services = root.lookup('etcdserverpb', [protobuf.Namespace]) as protobuf.Namespace;
  return Object.fromEntries(
    services.nestedArray
      .filter((service) => service instanceof protobuf.Service)
      .map((service) => {
        const name = `etcdserverpb.${service.name}`;
        const methods = service.methodsArray.map((method) => [method.name, methodOf(name, method, options)]);
        return [name, Object.fromEntries(methods)];
      }),
  );
}

function methodOf(service: string, method: protobuf.Method, options: Options) {
  return {
    path: `/${service}/${method.name}`,
    originalName: method.name[0]!.toLowerCase() + method.name.slice(1),
    requestStream: Boolean(method.requestStream),
    responseStream: Boolean(method.responseStream),
    // Types are resolved when they are first used.
    requestSerialize(message: Record<string, unknown>) {
      method.resolve();
      const type = method.resolvedRequestType!;
      return type.encode(type.fromObject(message)).finish();
    },
    responseDeserialize(bytes: Uint8Array) {
      method.resolve();
      const type = method.resolvedResponseType!;
      return type.toObject(type.decode(bytes), options);
    },
  };
}
