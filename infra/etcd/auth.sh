#!/usr/bin/env bash
# auth.sh USER LOCK_KEY STATE_PREFIX <password
# Turns authentication on, and grants USER exactly what a run needs: the keys of the lock, of its shards and of the state. It
# can run again, even concurrently; with another password, it changes the password. Needs etcdctl's variables for root, who
# has a certificate and no password.
set -euo pipefail
user=$1 lock=$2 state=$3
# `read` fails on a last line without a line break, but still sets the variable.
IFS= read -r password || [[ $password ]] || { echo "no password on standard input" >&2 && exit 2; }

# Every change invalidates all clients' tokens, so change nothing if everything is in place.
as_user() { ETCDCTL_USER=$user ETCDCTL_PASSWORD=$password etcdctl get "$@" --limit=1 >/dev/null 2>&1; }
if [[ $(etcdctl auth status) == *": true"* ]] && as_user "$lock.shards/" "${lock}0" && as_user --prefix "$state"; then
  exit
fi

# A concurrent run may add it between our two commands.
ensure() {
  etcdctl "$1" get "$2" >/dev/null 2>&1 || etcdctl "$1" add "${@:2}" || etcdctl "$1" get "$2" >/dev/null
}
ensure role "$user"
# "." and "/" sort before "0", so this range has the keys of the lock and of its shards.
etcdctl role grant-permission "$user" readwrite "$lock.shards/" "${lock}0"
etcdctl role grant-permission "$user" readwrite --prefix "$state"
ensure user "$user" --interactive=false <<<"$password"
etcdctl user passwd "$user" --interactive=false <<<"$password"
etcdctl user grant-role "$user" "$user"
ensure user root --no-password
etcdctl user grant-role root root
etcdctl auth enable
