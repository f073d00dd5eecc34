#!/usr/bin/env bash
# Builds what is released into a directory: limit, and beside it limit-keeper, which has the etcd client, and limit-serve,
# which has the web server, so that the start of every other command need not pay for them. (go build . makes one program with everything.)
#   scripts/build.sh DIR        GOOS and GOARCH as go build takes them
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
linked=$(mktemp -d)
trap 'rm -rf "$linked"' EXIT
go build -trimpath -ldflags '-s -w' -tags slim,urfave_cli_no_docs -o "$linked/limit" .
go build -trimpath -ldflags '-s -w' -tags grpcnotrace -o "$linked/limit-keeper" ./wrap/cli/limit-keeper
# Copied, as an installation does it: a file as the linker leaves it is in memory page by page, and each start takes a tenth longer.
go build -trimpath -ldflags '-s -w' -tags grpcnotrace,urfave_cli_no_docs -o "$linked/limit-serve" .
install -m 755 "$linked/limit" "$linked/limit-keeper" "$linked/limit-serve" "$dir"
