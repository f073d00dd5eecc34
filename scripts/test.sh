#!/usr/bin/env bash
# Runs the tests.
#   scripts/test.sh [go test's flags]   all of them with the race detector; about ten minutes on two cores
#   scripts/test.sh --quick             the rule, files, plans and texts, without processes, terminals and etcd; some ten seconds
#   scripts/test.sh --plain             README's go test ./... with the programs of a fresh machine and Go alone, as a newcomer has them
# It ends with what was skipped and how to install what that needs. In CI a skipped test is a failure, except with --plain.
# One package at a time: many tests stop and kill processes and measure how long things take. The model of the etcd protocol is
# explored in full without the race detector, which would only slow it down.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -rf "$log" "$log.path"' EXIT
status=0

# plain makes a PATH of the programs that every Debian has, and Go.
plain() {
	local package file
	mkdir "$log.path"
	for package in $(dpkg-query -W -f '${Package} ${Essential}\n' | awk '$2 == "yes" { print $1 }') mawk; do
		while read -r file; do
			[ ! -x "$file" ] || ln -sf "$file" "$log.path/"
		done < <(dpkg -L "$package" | grep -E '^(/usr)?/s?bin/[^/]+$')
	done
	ln -sf "$(command -v mawk)" "$log.path/awk"
	ln -sf "$(command -v go)" "$(go env GOROOT)/bin/gofmt" "$log.path/"
	echo "$log.path"
}

# failed prints the output of the packages that failed, and the names of the tests at the end: a reader of a cut log finds them there.
failed() {
	awk '/^=== |--- (PASS|SKIP)/ { next }
		/^PASS$/ { next }
		/^(ok|[?])[ \t]/ { text = ""; next }
		{ text = text $0 "\n" }
		/^FAIL\t/ { printf "%s", text; text = "" }
		END { printf "%s", text }' "$1"
	grep -E '^(FAIL|panic)|^\s*--- FAIL' "$1"
}

case ${1:-} in
--quick)
	exec go test -short ./backend ./backend/memory ./config/... ./wrap ./wrap/dag/plan ./wrap/dag/stepfile ./wrap/dag/journal
	;;
--plain)
	path=$(plain)
	printf 'go test ./... with Go and the programs of a fresh machine: about five minutes\n'
	env -u CI PATH="$path" go test -v -timeout 25m ./... >"$log" 2>&1 || status=$?
	;;
*)
	printf 'all tests with the race detector, one package at a time: about ten minutes\n'
	{ go test -race -v -timeout 25m -p 1 "$@" ./... && go test -v -timeout 25m -run TheModel "$@" ./backend/etcd; } >"$log" 2>&1 || status=$?
	;;
esac
grep -E '^(ok|FAIL|---? FAIL|panic|\?)|^\s+--- FAIL' "$log" || true
if [ "$status" -ne 0 ]; then
	printf 'what the packages that failed have printed, without the tests that passed:\n'
	failed "$log"
	exit "$status"
fi
if grep -qE '^\s*--- SKIP' "$log"; then
	printf 'skipped:\n'
	grep -hoE '(SKIPPED|NO BROWSER|needs|no [A-Z]+ namespaces|this build cannot)[^"]*$' "$log" | sort | uniq -c
	if [ -n "${CI:-}" ] && [ "${1:-}" != --plain ]; then
		printf 'CI has everything installed: nothing is to be skipped there\n'
		grep -B3 -E '^\s*--- SKIP' "$log"
		exit 1
	fi
fi
printf '%s passed, 0 failed\n' "$(grep -cE '^\s*--- PASS' "$log")"
