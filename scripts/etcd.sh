#!/usr/bin/env bash
# Starts one etcd on loopback for trying things by hand, with its data in a temporary directory, and prints the flag that uses it.
#   scripts/etcd.sh [PORT]        (2379)
# The server comes from the module file integration/etcd/go.mod: the first build takes about a minute. ^C ends it.
set -euo pipefail
cd "$(dirname "$0")/.."
port=${1:-2379}
etcd=$(go tool -modfile=integration/etcd/go.mod -n go.etcd.io/etcd/server/v3)
etcdctl=$(go tool -modfile=integration/etcd/go.mod -n go.etcd.io/etcd/etcdctl/v3)
data=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server"; wait "$server" || true; fi; rm -rf "$data"' EXIT
trap 'exit 130' INT TERM
echo "limit run --backend etcd://127.0.0.1:$port --pool demo -- sleep 10"
echo "$etcdctl --endpoints 127.0.0.1:$port get --prefix /limit/"
"$etcd" --data-dir "$data" --log-level fatal --name demo --listen-peer-urls http://127.0.0.1:0 --initial-advertise-peer-urls http://127.0.0.1:0 --initial-cluster demo=http://127.0.0.1:0 \
	--listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" &
server=$!
wait "$server"
