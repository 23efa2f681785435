#!/usr/bin/env bash
# secrets.sh FOLDER
# Stores the files of certificates.sh in Secrets Manager: $CLUSTER for the nodes, $CLUSTER/authority for signing further
# certificates, $CLUSTER/client for the `etcd` part of the functions' secret. Makes a password for $JOB_USER if there is none.
# Needs the AWS CLI and jq.
set -euo pipefail
cd "$1"
umask 077
[[ -f password ]] || openssl rand -hex 24 >password
# If openssl failed in an earlier run, the redirection left an empty file.
[[ -s password ]] || { echo "$1/password is empty" >&2 && exit 2; }

keep() {
  aws secretsmanager describe-secret --secret-id "$1" >/dev/null 2>&1 || aws secretsmanager create-secret --name "$1"
  aws secretsmanager put-secret-value --secret-id "$1" --secret-string "file://$2" --query VersionId
}
for file in password *.pem; do
  jq -n --arg name "$file" --rawfile text "$file" '{($name): $text}'
done | jq -s add >all.json
jq 'with_entries(select(.key | test("^(ca-key|client)") | not))' all.json >nodes.json
jq '{"ca.pem", "ca-key.pem"}' all.json >authority.json
jq --arg user "$JOB_USER" '{username: $user, password: (.password | rtrimstr("\n")), ca: .["ca.pem"],
  cert: .["client.pem"], key: .["client-key.pem"]}' all.json >client.json
keep "$CLUSTER" nodes.json
keep "$CLUSTER/authority" authority.json
keep "$CLUSTER/client" client.json
rm all.json nodes.json authority.json client.json
