#!/usr/bin/env bash
# Runs all tests with the race detector, as README's test command does without. In CI a skipped test is a failure:
# there everything is installed. One package at a time: many of them stop and kill processes and measure how long things take.
# What stands in for assembly on other platforms is tested with the tag portable.
# The model of the etcd protocol is explored in full without the race detector, which would only slow it down. Arguments go to go test.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
{ go test -race -v -p 1 "$@" ./... && go test -v -run TheModel "$@" ./backend/etcd &&
	go test -tags portable "$@" ./wrap/process/...; } >"$log" 2>&1 || status=$?
grep -E '^(ok|FAIL|---? FAIL|panic|\?)|^\s+--- FAIL' "$log" || true
if [ "$status" -ne 0 ]; then
	cat "$log"
	exit "$status"
fi
skipped=$(grep -E '^\s*--- SKIP' "$log" || true)
if [ -n "$skipped" ] && [ -n "${CI:-}" ]; then
	printf 'skipped, though CI has everything installed:\n%s\n' "$skipped"
	grep -B3 -E '^\s*--- SKIP' "$log"
	exit 1
fi
printf '%s passed, 0 failed\n' "$(grep -cE '^\s*--- PASS' "$log")"
