#!/usr/bin/env bash
# restore.sh SNAPSHOT
# Restores this node's data from a snapshot, and moves the old data aside. Run it on every node with the same snapshot, while all
# nodes are stopped. Needs node.sh's variables. Revisions continue BUMP_REVISION above the snapshot's: they are the fencing
# tokens, and must be above those that targets have seen since.
set -euo pipefail
snapshot=$1
peer_url=$(tr , '\n' <<<"$ETCD_INITIAL_CLUSTER" | sed -n "s/^$ETCD_NAME=//p")
# Up to 3.5, etcdctl can restore as well.
tool=$(command -v etcdutl || command -v etcdctl)
# Restore beside the old data, which stays in place if the snapshot is broken or the disk is full.
restored=$ETCD_DATA_DIR.restored
rm -rf "$restored"
# A new token makes a new cluster, which a node that was not restored cannot join with its old data.
"$tool" snapshot restore "$snapshot" --data-dir="$restored" --name="$ETCD_NAME" \
  --initial-cluster="$ETCD_INITIAL_CLUSTER" --initial-advertise-peer-urls="$peer_url" \
  --initial-cluster-token="$ETCD_INITIAL_CLUSTER_TOKEN-$(openssl dgst -sha256 -r "$snapshot" | cut -c 1-16)" \
  --bump-revision="${BUMP_REVISION:-1000000000}" --mark-compacted
[[ ! -e $ETCD_DATA_DIR ]] || mv "$ETCD_DATA_DIR" "$ETCD_DATA_DIR.until-$(date -u +%Y%m%dT%H%M%SZ)"
mv "$restored" "$ETCD_DATA_DIR"
