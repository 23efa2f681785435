#!/usr/bin/env bash
# certificates.sh FOLDER NAME=ADDRESS...
# Makes a certificate authority in FOLDER (ca.pem, ca-key.pem) unless it is there already, and signs new certificates: NAME.pem
# for each node and its ADDRESS (IP or host), root.pem for administrators and the nodes themselves, client.pem for the job. The
# key of NAME.pem is NAME-key.pem.
set -euo pipefail
umask 077
folder=$1
shift
for node in "$@"; do
  # zsh passes an unquoted variable as one word: that would become one certificate for a host that does not exist.
  [[ $node =~ ^[A-Za-z0-9-]+=[A-Za-z0-9.:-]+$ && ! $node =~ ^(ca|root|client)= ]] ||
    { echo "\"$node\" is not the NAME=ADDRESS of one node" >&2 && exit 2; }
done
mkdir -p "$folder"
cd "$folder"

new_key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1-key.pem"; }

# sign FILE COMMON-NAME DAYS EXTENSIONS
sign() {
  new_key "$1"
  openssl req -new -key "$1-key.pem" -subj "/CN=$2" -out "$1.csr"
  local by=(-CA ca.pem -CAkey ca-key.pem)
  [[ $1 == ca ]] && by=(-signkey ca-key.pem)
  printf '%b' "$4" >"$1.ext"
  local output
  output=$(openssl x509 -req -in "$1.csr" "${by[@]}" -set_serial "0x$(openssl rand -hex 15)" -sha256 -days "$3" \
    -extfile "$1.ext" -out "$1.pem" 2>&1) || { echo "$1.pem was not signed: $output" >&2 && exit 1; }
  rm "$1.csr" "$1.ext"
}

[[ -f ca.pem ]] || sign ca solotick-etcd 3650 'basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n'

# For a client without a password, etcd takes the certificate's common name as the user. Only root.pem names one.
for node in "$@"; do
  [[ ${node#*=} =~ ^[0-9.]+$|: ]] && kind=IP || kind=DNS
  sign "${node%%=*}" etcd-node 825 "subjectAltName=$kind:${node#*=}\nextendedKeyUsage=serverAuth,clientAuth\n"
done
sign root root 825 'extendedKeyUsage=clientAuth\n'
sign client client 825 'extendedKeyUsage=clientAuth\n'
