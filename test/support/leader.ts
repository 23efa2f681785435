import assert from 'node:assert/strict';
import type { LocalEtcd } from '../../infra/local/etcd/etcd.ts';
import type { EtcdNode } from '../../infra/local/etcd/node.ts';

/** The current leader of the cluster. */
export async function leaderOf(server: LocalEtcd): Promise<EtcdNode> {
  const statuses: { Endpoint: string; Status: { leader: number; header: { member_id: number } } }[] = JSON.parse(
    await server.etcdctl(['endpoint', 'status', '--write-out=json']),
  );
  const found = statuses.find(({ Status }) => Status.leader === Status.header.member_id);
  const node = server.nodes.find(({ endpoint }) => endpoint === found?.Endpoint);
  assert.ok(node, 'the cluster has a leader');
  return node;
}
