import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createNode, type EtcdNode, type NodePlan, PortTakenError } from './node.ts';
import { freePorts } from './ports.ts';

export interface NodesOptions {
  nodes?: 1 | 3;
  extraArgs?: string[];
  /** Paths of PEM files. With `ca`, clients must show a certificate signed by it; etcdctl shows `client`. */
  tls?: { cert: string; key: string; ca?: string; client?: { cert: string; key: string } };
}

interface Place {
  etcd: string;
  dataDir: string;
  /** The folder to remove if this process is killed; none if empty. */
  scratch: string;
}

const MAX_ATTEMPTS = 5;

/** Starts one or three nodes on free ports. If a port is taken in the meantime, it tries others. */
export async function startNodes(place: Place, options: NodesOptions): Promise<EtcdNode[]> {
  for (let attempt = 1; ; attempt++) {
    const plans = await planNodes(place, options);
    const nodes = plans.map(createNode);
    const started = await Promise.allSettled(nodes.map((node) => node.restart()));
    const reasons = started.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    if (reasons.length === 0) return nodes;
    await killAll(nodes);
    // The node whose port is taken is the cause; the others only miss it.
    const portTaken = reasons.some((reason) => reason instanceof PortTakenError);
    if (attempt === MAX_ATTEMPTS || !portTaken) throw reasons[0];
    if (place.scratch) await Promise.all(plans.map(({ folder }) => rm(folder, { recursive: true, force: true })));
  }
}

export async function killAll(nodes: EtcdNode[]): Promise<void> {
  await Promise.all(nodes.map((node) => node.kill()));
}

async function planNodes(
  { etcd, dataDir, scratch }: Place,
  { nodes = 1, tls, extraArgs = [] }: NodesOptions,
): Promise<(NodePlan & { folder: string })[]> {
  const ports = await freePorts(nodes * 3);
  const members = Array.from({ length: nodes }, (_, index) => {
    const [client, peer, health] = ports.slice(index * 3);
    return {
      name: `node${index}`,
      endpoint: `${tls ? 'https' : 'http'}://127.0.0.1:${client}`,
      peerUrl: `http://127.0.0.1:${peer}`,
      healthUrl: `http://127.0.0.1:${health}`,
    };
  });
  const cluster = members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(',');
  const tlsArgs = tls ? [`--cert-file=${tls.cert}`, `--key-file=${tls.key}`] : [];
  if (tls?.ca) tlsArgs.push(`--trusted-ca-file=${tls.ca}`, '--client-cert-auth');
  return members.map(({ name, endpoint, peerUrl, healthUrl }) => {
    const folder = join(dataDir, name);
    const args = [
      `--name=${name}`,
      `--data-dir=${folder}`,
      `--listen-client-urls=${endpoint}`,
      `--advertise-client-urls=${endpoint}`,
      `--listen-peer-urls=${peerUrl}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
      `--initial-cluster=${cluster}`,
      `--listen-metrics-urls=${healthUrl}`,
      ...tlsArgs,
      ...extraArgs,
    ];
    return { etcd, args, endpoint, healthUrl, scratch, folder };
  });
}
