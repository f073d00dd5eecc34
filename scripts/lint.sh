#!/usr/bin/env bash
# Checks what a reader must be able to rely on: the format, vet on every platform that is built, staticcheck, and the
# arrows between packages (who may import whom). Says what is wrong and exits 1. The whole takes about a minute.
# Known vulnerabilities are looked up in Go's database, or in a copy of it that GOVULNDB names. Where it cannot be reached, that
# is said and is no failure, unless VULNERABILITIES=required, as a release should have it.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
complain() { printf 'lint: %s\n' "$*" >&2; failed=1; }

unformatted=$(gofmt -l main.go wrap backend config integration)
[ -z "$unformatted" ] || complain "not gofmt-ed: $unformatted"

# Lines of code have at most 120 columns, a tab being four; not in tests, nor where a raw string begins, ends or goes on.
# shellcheck disable=SC2016 # the program is perl's
wide=$(git ls-files '*.go' | grep -v '_test\.go$' | xargs perl -CSD -ne '
	chomp; s/\t/    /g; my $ticks = tr/`//; my $inside = $raw; $raw ^= $ticks % 2;
	print "$ARGV:$. " if length > 120 && !$inside && !($ticks % 2);
	if (eof) { close ARGV; $raw = 0 }')
[ -z "$wide" ] || complain "lines of more than 120 columns: $wide"

for platform in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64; do
	GOOS=${platform%/*} GOARCH=${platform#*/} CGO_ENABLED=0 go vet ./... || complain "go vet fails for $platform"
	GOOS=${platform%/*} GOARCH=${platform#*/} CGO_ENABLED=0 go vet -tags slim . ./wrap/cli || complain "go vet of the slim build fails for $platform"
done

go tool -modfile=.ci/tools/go.mod staticcheck ./... || complain "staticcheck has findings"

dead=$(go tool -modfile=.ci/tools/go.mod deadcode . ./wrap/cli/limit-keeper)
[ -z "$dead" ] || complain "nothing calls these but tests: $dead"

report=$(go tool -modfile=.ci/tools/go.mod govulncheck ${GOVULNDB:+-db "$GOVULNDB"} ./... 2>&1) && code=0 || code=$?
case $code,$report in
0,*) ;;
1,*"fetching vulnerabilities"*)
	printf 'lint: NOT CHECKED for known vulnerabilities, the database cannot be reached: %s\n' "$report" >&2
	[ "${VULNERABILITIES:-}" != required ] || complain "known vulnerabilities could not be looked up" ;;
*) complain "govulncheck: $report" ;;
esac

# The arrows: a package, and what of this module it may import (a trailing /... allows what is below). The last match counts.
arrows='
limit                          limit/wrap/cli
limit/wrap/cli                 limit/...
limit/wrap/cli/limit-keeper    limit/backend/etcd limit/wrap/process
limit/wrap/cli/manual          -
limit/wrap/dag/...             limit/wrap limit/wrap/process limit/wrap/dag/... limit/backend limit/backend/memory limit/config/...
limit/wrap/dag                 limit/wrap limit/wrap/process limit/wrap/dag/... limit/backend limit/backend/memory limit/config/...
limit/wrap                     limit/wrap/process limit/backend
limit/wrap/serve               -
limit/wrap/process             limit/wrap/process/... limit/backend/proc
limit/wrap/process/...         limit/wrap/process/...
limit/config                   limit/config/... limit/backend
limit/config/yamlread           limit/config/grammar
limit/config/grammar           limit/backend
limit/backend                  -
limit/backend/...              limit/backend
limit/backend/proc             -
limit/backend/local            limit/backend limit/backend/proc
limit/backend/etcd/...         limit/backend limit/backend/proc limit/backend/etcd/...
limit/backend/etcd             limit/backend limit/backend/proc limit/backend/etcd/...
limit/integration/...          limit/...
limit/integration              limit/...
'
matches() { # pattern path
	case $1 in
	*/...) [[ $2 == "${1%/...}"/* ]] ;;
	*) [[ $2 == "$1" ]] ;;
	esac
}
while read -r package imports; do
	allowed="" known=""
	while read -r pattern targets; do
		[ -n "$pattern" ] && matches "$pattern" "$package" && { allowed=$targets known=1; }
	done <<<"$arrows"
	[ -n "$known" ] || { complain "no arrow is drawn for package $package: add it to scripts/lint.sh"; continue; }
	for import in $imports; do
		case $import in
		limit | limit/*)
			ok=""
			for target in $allowed; do matches "$target" "$import" && ok=1; done
			[ -n "$ok" ] || complain "$package must not import $import"
			;;
		go.etcd.io/etcd/client/*) [[ $package == limit/backend/etcd ]] || complain "$package must not import $import: backend/etcd alone does" ;;
		github.com/urfave/cli/*) [[ $package == limit/wrap/cli ]] || complain "$package must not import $import: wrap/cli alone does" ;;
		*.*/*) [[ $package != limit/backend ]] || complain "backend imports the standard library only, not $import" ;;
		esac
	done
done < <(go list -f '{{.ImportPath}} {{join .Imports " "}}' ./...)

if command -v shellcheck >/dev/null; then
	shellcheck scripts/*.sh .ci/run || complain "shellcheck has findings"
elif [ -n "${CI:-}" ]; then
	complain "shellcheck is missing"
fi
exit $failed
