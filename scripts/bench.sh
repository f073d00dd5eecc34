#!/usr/bin/env bash
# Times limit against its peers, pair by pair in one run, and prints medians and ratios as a table.
#   scripts/bench.sh [--smoke] [--only TEXT] [--json FILE] [--readme integration/bench/README.md]
#   scripts/bench.sh --install      installs the peers first (Debian packages, as root)
# --smoke: few and small runs, for CI. --readme: puts the table into that file. Peers that are not installed are left out (in CI that
# is a failure). etcd 3.7 is built from integration/etcd/go.mod; the first time takes a minute.
# The rule and the embedded store have benchmarks in Go too: go test -bench . ./backend ./backend/local
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = --install ]; then
	shift
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		util-linux parallel task-spooler findutils etcd-client ninja-build make >/dev/null
fi
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
scripts/build.sh "$bin"
go build -o "$bin/bench" ./integration/bench
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$bin/stamp" ./integration/bench/stamp
etcd=$(go tool -modfile=integration/etcd/go.mod -n go.etcd.io/etcd/server/v3)
etcdctl=$(go tool -modfile=integration/etcd/go.mod -n go.etcd.io/etcd/etcdctl/v3)
"$bin/bench" --limit "$bin/limit" --stamp "$bin/stamp" --etcd "$etcd" --etcdctl "$etcdctl" "$@"
