#!/usr/bin/env bash
# auth.sh USER LOCK_KEY STATE_PREFIX <password
# Makes etcd ask for a user, and gives USER what a run needs and nothing else: the lock's keys, those of its shards, and the
# state's. Can be run again, at the same time too; with another password it changes the password. Needs etcdctl's
# variables for root, who has no password, only a certificate.
set -euo pipefail
user=$1 lock=$2 state=$3
# The last line may lack its end, as what `printf` or an editor has written does.
IFS= read -r password || [[ $password ]] || { echo "no password on standard input" >&2 && exit 2; }

# Every change makes all clients log in again, so nothing is done where nothing is to be done.
as_user() { ETCDCTL_USER=$user ETCDCTL_PASSWORD=$password etcdctl get "$@" --limit=1 >/dev/null 2>&1; }
if [[ $(etcdctl auth status) == *": true"* ]] && as_user "$lock.shards/" "${lock}0" && as_user --prefix "$state"; then
  exit
fi

# Whoever comes second finds it done.
ensure() {
  etcdctl "$1" get "$2" >/dev/null 2>&1 || etcdctl "$1" add "${@:2}" || etcdctl "$1" get "$2" >/dev/null
}
ensure role "$user"
# "." and "/" come before "0": this is the lock's keys, and those of its shards.
etcdctl role grant-permission "$user" readwrite "$lock.shards/" "${lock}0"
etcdctl role grant-permission "$user" readwrite --prefix "$state"
ensure user "$user" --interactive=false <<<"$password"
etcdctl user passwd "$user" --interactive=false <<<"$password"
etcdctl user grant-role "$user" "$user"
ensure user root --no-password
etcdctl user grant-role root root
etcdctl auth enable
