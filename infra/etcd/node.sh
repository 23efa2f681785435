#!/usr/bin/env bash
# Runs one node of the etcd cluster. It reads etcd's and etcdctl's own variables: ETCD_NAME, ETCD_DATA_DIR,
# ETCD_INITIAL_CLUSTER, ETCD_INITIAL_CLUSTER_TOKEN, ETCD_INITIAL_CLUSTER_STATE (`new` until the cluster has formed, then
# `existing`), ETCD_ADVERTISE_CLIENT_URLS, ETCD_LISTEN_CLIENT_URLS, ETCD_LISTEN_PEER_URLS, and ETCDCTL_ENDPOINTS,
# ETCDCTL_CACERT, ETCDCTL_CERT, ETCDCTL_KEY for root. TLS_DIR has ca.pem, node.pem and node-key.pem.
# It fails while it cannot join, so its caller (systemd) restarts it.
set -euo pipefail

peer_url=$(tr , '\n' <<<"$ETCD_INITIAL_CLUSTER" | sed -n "s/^$ETCD_NAME=//p")
[[ $peer_url ]] || { echo "$ETCD_NAME is not in ETCD_INITIAL_CLUSTER" >&2 && exit 2; }

# The cluster exists and this node has no data, so its disk is new. As the old member, it would vote without knowing what that
# member has agreed to. So remove the old member, and add a new one.
if [[ $ETCD_INITIAL_CLUSTER_STATE == existing && ! -d $ETCD_DATA_DIR/member/wal ]]; then
  members=$(etcdctl member list)
  # Columns: ID, status, name, peer URL, client URL. A member that has never started has no client URL.
  read -r id client_url < <(awk -F ', ' -v url="$peer_url" '$4 == url { print $1, $5 }' <<<"$members") || id=
  if [[ $id && $client_url ]]; then
    etcdctl member remove "$id"
    id=
  fi
  [[ $id ]] || etcdctl member add "$ETCD_NAME" --peer-urls="$peer_url"
  # Left by a start that failed before it wrote a log.
  rm -rf "$ETCD_DATA_DIR/member"
fi

umask 077
mkdir -p "$ETCD_DATA_DIR"
# The gRPC gateway would use the node's certificate as a client certificate. Peers must show a node's certificate, not the job's.
exec etcd \
  --initial-advertise-peer-urls="$peer_url" \
  --client-cert-auth --trusted-ca-file="$TLS_DIR/ca.pem" \
  --cert-file="$TLS_DIR/node.pem" --key-file="$TLS_DIR/node-key.pem" \
  --peer-client-cert-auth --peer-trusted-ca-file="$TLS_DIR/ca.pem" --peer-cert-allowed-cn=etcd-node \
  --peer-cert-file="$TLS_DIR/node.pem" --peer-key-file="$TLS_DIR/node-key.pem" \
  --auto-compaction-mode=periodic --auto-compaction-retention=1h --quota-backend-bytes=$((2 << 30)) \
  --enable-grpc-gateway=false
