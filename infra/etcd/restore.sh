#!/usr/bin/env bash
# restore.sh SNAPSHOT
# Makes this node's data out of a snapshot, on every node with the same snapshot and while all of them are stopped. What was
# there is moved aside. Needs node.sh's variables. Revisions go on BUMP_REVISION above those of the snapshot: they are the
# fencing tokens, and must not be lower than what targets have seen since.
set -euo pipefail
snapshot=$1
peer_url=$(tr , '\n' <<<"$ETCD_INITIAL_CLUSTER" | sed -n "s/^$ETCD_NAME=//p")
# Until 3.5 etcdctl could do it, too.
tool=$(command -v etcdutl || command -v etcdctl)
# Restored beside what is there, which stays in its place if the snapshot is broken or the disk is full.
restored=$ETCD_DATA_DIR.restored
rm -rf "$restored"
# Another token makes another cluster: a node that was forgotten here cannot join it with what it has.
"$tool" snapshot restore "$snapshot" --data-dir="$restored" --name="$ETCD_NAME" \
  --initial-cluster="$ETCD_INITIAL_CLUSTER" --initial-advertise-peer-urls="$peer_url" \
  --initial-cluster-token="$ETCD_INITIAL_CLUSTER_TOKEN-$(openssl dgst -sha256 -r "$snapshot" | cut -c 1-16)" \
  --bump-revision="${BUMP_REVISION:-1000000000}" --mark-compacted
[[ ! -e $ETCD_DATA_DIR ]] || mv "$ETCD_DATA_DIR" "$ETCD_DATA_DIR.until-$(date -u +%Y%m%dT%H%M%SZ)"
mv "$restored" "$ETCD_DATA_DIR"
