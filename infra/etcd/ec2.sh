#!/usr/bin/env bash
# Turns a new machine with Amazon Linux 2023 into a node: disk, certificates, release, services. The user data of node.yml runs
# it once in the life of a machine, as root, and sets the variables in capitals.
set -euo pipefail
cd /opt/etcd
export AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=10

echo "$RELEASE_SHA256 etcd.tar.gz" | sha256sum --check
tar -xzf etcd.tar.gz --strip-components=1 --no-same-owner
install etcd etcdctl etcdutl /usr/local/bin
chmod +x ./*.sh
useradd --system --no-create-home etcd

# The disk becomes free when the previous machine is gone.
device=/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${VOLUME/-/}
for _ in {1..60}; do
  [[ ! -e $device ]] || break
  aws ec2 attach-volume --volume-id "$VOLUME" --instance-id "$(</var/lib/cloud/data/instance-id)" --device /dev/sdf || true
  sleep 10
done
mkdir -p /var/lib/etcd /var/log/etcd
echo "$device /var/lib/etcd xfs nofail 0 0" >>/etc/fstab
# mkfs refuses a disk that already has a file system.
mount /var/lib/etcd || { mkfs.xfs "$device" && mount /var/lib/etcd; }

umask 077
mkdir -p /etc/etcd
aws secretsmanager get-secret-value --secret-id "$CLUSTER" --query SecretString --output text | python3 -c '
import json, pathlib, sys
secret, node = json.load(sys.stdin), sys.argv[1]
own = {"node.pem": node + ".pem", "node-key.pem": node + "-key.pem"}
for name in ("ca.pem", "root.pem", "root-key.pem", "password", *own):
    pathlib.Path("/etc/etcd", name).write_text(secret[own.get(name, name)])' "$NAME"

# A new cluster may form only once: later, nodes with new disks could form a second one without the data.
formed=$(aws s3api list-objects-v2 --bucket "$BUCKET" --prefix formed --query 'Contents[].Key' --output text)
cat >/etc/etcd/env <<END
AWS_DEFAULT_REGION=$AWS_DEFAULT_REGION
BUCKET=$BUCKET
TLS_DIR=/etc/etcd
ETCD_NAME=$NAME
ETCD_DATA_DIR=/var/lib/etcd/data
ETCD_INITIAL_CLUSTER=$(sed -E 's#=([^,]+)#=https://\1:2380#g' <<<"$NODES")
ETCD_INITIAL_CLUSTER_TOKEN=$CLUSTER
ETCD_INITIAL_CLUSTER_STATE=$([[ $formed == formed ]] && echo existing || echo new)
ETCD_ADVERTISE_CLIENT_URLS=https://$(tr , '\n' <<<"$NODES" | sed -n "s/^$NAME=//p"):2379
ETCD_LISTEN_CLIENT_URLS=https://$ADDRESS:2379
ETCD_LISTEN_PEER_URLS=https://$ADDRESS:2380
ETCDCTL_ENDPOINTS=$(sed -E 's#[^=,]+=([^,]+)#https://\1:2379#g' <<<"$NODES")
ETCDCTL_CACERT=/etc/etcd/ca.pem
ETCDCTL_CERT=/etc/etcd/root.pem
ETCDCTL_KEY=/etc/etcd/root-key.pem
END
chown -R etcd: /etc/etcd /var/lib/etcd /var/log/etcd

umask 022
cat >/etc/systemd/system/etcd.service <<'END'
[Unit]
After=network-online.target
Wants=network-online.target
RequiresMountsFor=/var/lib/etcd
StartLimitIntervalSec=0
[Service]
User=etcd
EnvironmentFile=/etc/etcd/env
Environment=PATH=/usr/local/bin:/usr/bin:/bin
ExecStart=/opt/etcd/node.sh
StandardError=append:/var/log/etcd/etcd.log
Restart=always
RestartSec=5
LimitNOFILE=65536
[Install]
WantedBy=multi-user.target
END
cat >/etc/systemd/system/etcd-snapshot.service <<'END'
[Service]
Type=oneshot
User=etcd
EnvironmentFile=/etc/etcd/env
Environment=PATH=/usr/local/bin:/usr/bin:/bin
ExecStart=/opt/etcd/snapshot.sh
END
cat >/etc/systemd/system/etcd-snapshot.timer <<'END'
[Timer]
OnCalendar=hourly
RandomizedDelaySec=600
[Install]
WantedBy=timers.target
END
systemctl daemon-reload
systemctl enable --now etcd.service etcd-snapshot.timer

# etcd must run even if the logs cannot be sent.
cat >/etc/logrotate.d/etcd <<'END'
/var/log/etcd/etcd.log {
  size 10M
  rotate 2
  copytruncate
}
END
cat >/opt/etcd/logs.json <<END
{"logs": {"logs_collected": {"files": {"collect_list": [
  {"file_path": "/var/log/etcd/etcd.log", "log_group_name": "/$CLUSTER", "log_stream_name": "$NAME"}]}}}}
END
dnf install -y amazon-cloudwatch-agent &&
  /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s -c file:/opt/etcd/logs.json || true

# A node is healthy when it answers for the cluster, which needs a majority of the nodes.
set -a
. /etc/etcd/env
set +a
export PATH=/usr/local/bin:$PATH
for _ in {1..120}; do
  ! ETCDCTL_ENDPOINTS=$ETCD_ADVERTISE_CLIENT_URLS etcdctl endpoint health 2>/dev/null || break
  sleep 5
done
ETCDCTL_ENDPOINTS=$ETCD_ADVERTISE_CLIENT_URLS etcdctl endpoint health
aws s3api put-object --bucket "$BUCKET" --key formed
sed -i 's/STATE=new/STATE=existing/' /etc/etcd/env
./auth.sh "$JOB_USER" "$LOCK_KEY" "$STATE_PREFIX" </etc/etcd/password
