#!/usr/bin/env bash
# deploy.sh [NAME...]
# Deploys or updates the cluster, one node at a time: the next one follows when the previous one is healthy.
# With names, it touches only those nodes: while one node is missing, the others must keep running.
# Needs CLUSTER, VPC, FUNCTION_SECURITY_GROUP, NODES (three, name=host,…), SUBNETS (in the same order, a,b,c), JOB_USER,
# LOCK_KEY and STATE_PREFIX; the AWS CLI, curl and openssl.
set -euo pipefail
cd "$(dirname "$0")"
# The same release as in infra/local/etcd/release.ts.
version=v3.6.14
sha256=fa1b80565ee6fc2df1ae6f57a508b221f3ecc7d591c317c581cd8281b0842b3e

IFS=, read -ra nodes <<<"$NODES"
IFS=, read -ra subnets <<<"$SUBNETS"
[[ ${#nodes[@]} == 3 && ${#subnets[@]} == 3 ]] || { echo "NODES and SUBNETS must each name three" >&2 && exit 2; }
for name in "$@"; do
  [[ ",$NODES" == *",$name="* ]] || { echo "$name is not in NODES" >&2 && exit 2; }
done

stack() {
  aws cloudformation deploy --no-fail-on-empty-changeset --capabilities CAPABILITY_IAM \
    --stack-name "$1" --template-file "$2" --parameter-overrides "${@:3}"
}
resource() {
  aws cloudformation describe-stack-resources --stack-name "$CLUSTER" --output text \
    --query "StackResources[?LogicalResourceId=='$1'].PhysicalResourceId"
}
stack "$CLUSTER" cluster.yml Vpc="$VPC" FunctionSecurityGroup="$FUNCTION_SECURITY_GROUP"
bucket=$(resource Bucket)

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
curl -fsSL -o "$folder/etcd.tar.gz" \
  "https://github.com/etcd-io/etcd/releases/download/$version/etcd-$version-linux-arm64.tar.gz"
[[ $(openssl dgst -sha256 -r "$folder/etcd.tar.gz") == "$sha256 "* ]] || { echo "$version has another checksum" >&2 && exit 1; }
cp node.sh auth.sh snapshot.sh restore.sh ec2.sh "$folder"
# The folder is named after its content: only new content, or a newer image, replaces a node.
files=node/$(cat "$folder"/* | openssl dgst -sha256 -r | cut -c 1-16)
aws s3 cp --only-show-errors --recursive "$folder" "s3://$bucket/$files/"

for index in 0 1 2; do
  IFS='=' read -r name host <<<"${nodes[index]}"
  [[ $# == 0 || " $* " == *" $name "* ]] || continue
  # ip-10-0-1-10.eu-central-1.compute.internal
  address=$(sed -E 's/^ip-([0-9]+)-([0-9]+)-([0-9]+)-([0-9]+)\..*/\1.\2.\3.\4/' <<<"$host")
  zone=$(aws ec2 describe-subnets --subnet-ids "${subnets[index]}" --query 'Subnets[0].AvailabilityZone' --output text)
  stack "$CLUSTER-$name" node.yml Cluster="$CLUSTER" Name="$name" Address="$address" Nodes="$NODES" \
    Subnet="${subnets[index]}" Zone="$zone" SecurityGroup="$(resource SecurityGroup)" Bucket="$bucket" Files="$files" \
    ReleaseSha256="$sha256" User="$JOB_USER" LockKey="$LOCK_KEY" StatePrefix="$STATE_PREFIX"
done
