#!/usr/bin/env bash
# Starts one node of the etcd cluster and stays with it. All it needs comes in the environment, by etcd's and etcdctl's own
# names: ETCD_NAME, ETCD_DATA_DIR, ETCD_INITIAL_CLUSTER, ETCD_INITIAL_CLUSTER_TOKEN, ETCD_INITIAL_CLUSTER_STATE (`new` in the
# first life of the cluster, then `existing`), ETCD_ADVERTISE_CLIENT_URLS, ETCD_LISTEN_CLIENT_URLS, ETCD_LISTEN_PEER_URLS, and
# ETCDCTL_ENDPOINTS, ETCDCTL_CACERT, ETCDCTL_CERT, ETCDCTL_KEY for root. TLS_DIR has ca.pem, node.pem and node-key.pem.
# Whoever starts it starts it again when it fails: it fails as long as it cannot join.
set -euo pipefail

peer_url=$(tr , '\n' <<<"$ETCD_INITIAL_CLUSTER" | sed -n "s/^$ETCD_NAME=//p")
[[ $peer_url ]] || { echo "$ETCD_NAME is not in ETCD_INITIAL_CLUSTER" >&2 && exit 2; }

# A cluster that exists and a node without data: its disk is new. To come back as the old member would be to vote without
# knowing what that one has agreed to, so the cluster is told to forget the old member and to expect a new one.
if [[ $ETCD_INITIAL_CLUSTER_STATE == existing && ! -d $ETCD_DATA_DIR/member/wal ]]; then
  members=$(etcdctl member list)
  # ID, status, name, peer URL, client URL; one that has never started has no client URL.
  read -r id client_url < <(awk -F ', ' -v url="$peer_url" '$4 == url { print $1, $5 }' <<<"$members") || id=
  if [[ $id && $client_url ]]; then
    etcdctl member remove "$id"
    id=
  fi
  [[ $id ]] || etcdctl member add "$ETCD_NAME" --peer-urls="$peer_url"
  # What a start left behind that did not get as far as a log.
  rm -rf "$ETCD_DATA_DIR/member"
fi

umask 077
mkdir -p "$ETCD_DATA_DIR"
# The gateway would show the node's own certificate as a client's. Peers must have a node's certificate: the job's is not one.
exec etcd \
  --initial-advertise-peer-urls="$peer_url" \
  --client-cert-auth --trusted-ca-file="$TLS_DIR/ca.pem" \
  --cert-file="$TLS_DIR/node.pem" --key-file="$TLS_DIR/node-key.pem" \
  --peer-client-cert-auth --peer-trusted-ca-file="$TLS_DIR/ca.pem" --peer-cert-allowed-cn=etcd-node \
  --peer-cert-file="$TLS_DIR/node.pem" --peer-key-file="$TLS_DIR/node-key.pem" \
  --auto-compaction-mode=periodic --auto-compaction-retention=1h --quota-backend-bytes=$((2 << 30)) \
  --enable-grpc-gateway=false
