/** An error of etcd, as gRPC words it. */
export class EtcdRefusal extends Error {}
