#!/usr/bin/env bash
# Times limit against its peers, pair by pair in one run, and prints medians and ratios as a table.
#   scripts/bench.sh [--smoke] [--only TEXT] [--json FILE]
# --smoke: few and small runs, for CI. Peers that are not installed are left out (in CI that is a failure).
# The rule and the embedded store have benchmarks in Go too: go test -bench . ./backend ./backend/local
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
scripts/build.sh "$bin"
go build -o "$bin/bench" ./integration/bench
"$bin/bench" --limit "$bin/limit" "$@"
