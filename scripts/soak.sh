#!/usr/bin/env bash
# Runs real processes of limit under injected faults and prints one table for each store: operations, faults, overlaps, leaks, stalls, histories.
# Exits 1 if anything was found that may not be. What is drawn can be drawn again with --seed; the directory of a run that failed is kept and named.
#   scripts/soak.sh [MINUTES] [--store embedded|etcd|agent] [--seed N]    MINUTES: 60; agent: etcd through limit agent; without --store all, one after the other
#   scripts/soak.sh --smoke                                               some seconds of each
set -euo pipefail
cd "$(dirname "$0")/.."
usage() { printf 'usage: scripts/soak.sh [MINUTES | --smoke] [--store embedded|etcd|agent] [--seed N]\n' >&2; exit 2; }
flags=(-soak.for=60m)
while [ $# -gt 0 ]; do
	case $1 in
	--smoke) flags+=(-soak.for=0) ;;
	--store) [ $# -ge 2 ] || usage; flags+=("-soak.store=$2"); shift ;;
	--seed) [ $# -ge 2 ] || usage; flags+=("-soak.seed=$2"); shift ;;
	[1-9]*) [[ $1 =~ ^[0-9]+$ ]] || usage; flags+=("-soak.for=$1m") ;;
	*) usage ;;
	esac
	shift
done
exec go test ./integration/soak -run '^TestSoakFindsNothing$' -count=1 -timeout 0 -v "${flags[@]}"
