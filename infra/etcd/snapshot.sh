#!/usr/bin/env bash
# Saves a snapshot of this node and uploads it to the bucket. Needs node.sh's variables and BUCKET.
set -euo pipefail
file=$(dirname "$ETCD_DATA_DIR")/snapshot.db
ETCDCTL_ENDPOINTS=$ETCD_ADVERTISE_CLIENT_URLS etcdctl snapshot save "$file"
aws s3 cp "$file" "s3://$BUCKET/snapshots/$(date -u +%Y-%m-%dT%H%M%SZ)-$ETCD_NAME.db"
