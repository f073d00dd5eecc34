#!/usr/bin/env bash
# Makes a release: for each platform an archive of static programs with manual page and completions, Debian packages, and
# SHA256SUMS. The same commit gives the same bytes, wherever and whenever it is built; the version is what the build says of itself.
#   scripts/release.sh [DIR]           dist by default; PLATFORMS="linux/amd64 darwin/arm64" makes those alone
set -euo pipefail
out=$(mkdir -p "${1:-dist}" && cd "${1:-dist}" && pwd)
cd "$(dirname "$0")/.."
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 1767225600)}"
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
if git rev-parse --git-dir >/dev/null 2>&1; then
	GOFLAGS="$(go env GOFLAGS) -buildvcs=true" # the tag, or the commit, is the version
	export GOFLAGS
fi
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What is the same on all platforms comes from a build for this one.
common=$work/common
scripts/build.sh "$work/native"
limit=$work/native/limit
read -r _ version _ <<<"$("$limit" version)"
mkdir -p "$common/completions"
cp LICENSE README.md "$common"
"$limit" help --man >"$common/limit.1"
page() { # topic, name of the page, section: a man page from a page of the manual
	local title
	title=$("$limit" help "$1" | head -n 1)
	{
		printf '%% %s %s "%s" "limit %s" "limit"\n# NAME\n%s - %s\n# DESCRIPTION\n' "${2^^}" "$3" \
			"$(date -u -d "@$SOURCE_DATE_EPOCH" +%F)" "$version" "$2" "${title#*: }"
		"$limit" help "$1" | sed -e 1d -e '/^<!--/d' -e 's/^## /# /'
	} | go run github.com/cpuguy83/go-md2man/v2 | wrapped >"$common/$2.$3"
}
wrapped() { # the last column of each table is wrapped at the width of the page
	awk -F '\t' -v OFS='\t' '
		/^\.TS/ { table = 1 }
		/^\.TE/ { table = rows = 0 }
		rows && NF > 1 && $NF != "T{" { $NF = "T{\n" $NF "\nT}" }
		table && sub(/l \.$/, "lx .") { rows = 1 }
		{ print }'
}
page config limit.yaml 5
page step-file limit-dag 5
page etcd limit-etcd 7
page recipes limit-recipes 7
page agent limit-agent 7
"$limit" completion bash >"$common/completions/limit.bash"
"$limit" completion zsh >"$common/completions/_limit_command"
"$limit" completion fish >"$common/completions/limit.fish"

maintainer='the limit authors <limit@example.org>'
debian() { # architecture, directory of the programs
	local root=$work/deb-$1 number
	# v1.2.3, a commit after it, or none: Debian sorts what follows ~ before the release.
	number=$(sed -E 's/^v//; s/-(rc|0)\.?/~\1/; s/^devel$/0~devel/; s/[^A-Za-z0-9.+~]/./g' <<<"$version")
	install -D -m 755 "$2/limit" "$root/usr/bin/limit"
	install -m 755 "$2/limit-keeper" "$2/limit-serve" "$root/usr/bin"
	mkdir -p "$root/usr/lib/systemd/system" "$root/DEBIAN"
	install -m 644 wrap/serve/limit-serve.service wrap/cli/limit-agent.s* "$root/usr/lib/systemd/system"
	cat >"$root/DEBIAN/postinst" <<-'SCRIPT'
		#!/bin/sh
		# Units are not enabled here; those that run are restarted, which ends no command.
		set -e
		if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
			systemctl daemon-reload || true
			systemctl try-restart limit-agent.service limit-serve.service || true
		fi
	SCRIPT
	cat >"$root/DEBIAN/prerm" <<-'SCRIPT'
		#!/bin/sh
		set -e
		if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
			systemctl disable --now limit-agent.socket limit-agent.service limit-serve.service || true
		fi
	SCRIPT
	chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm"
	install -D -m 644 "$common/completions/limit.bash" "$root/usr/share/bash-completion/completions/limit"
	install -D -m 644 "$common/completions/_limit_command" "$root/usr/share/zsh/vendor-completions/_limit_command"
	install -D -m 644 "$common/completions/limit.fish" "$root/usr/share/fish/vendor_completions.d/limit.fish"
	install -D -m 644 LICENSE "$root/usr/share/doc/limit/copyright"
	install -m 644 README.md "$root/usr/share/doc/limit/README.md"
	mkdir -p "$root/usr/share/man/man1" "$root/usr/share/man/man5" "$root/usr/share/man/man7"
	for page in limit.1 limit.yaml.5 limit-dag.5 limit-etcd.7 limit-recipes.7 limit-agent.7; do
		gzip -9n <"$common/$page" >"$root/usr/share/man/man${page##*.}/$page.gz"
	done
	ln -s limit.1.gz "$root/usr/share/man/man1/limit-keeper.1.gz"
	ln -s limit.1.gz "$root/usr/share/man/man1/limit-serve.1.gz"
	printf 'limit (%s) stable; urgency=low\n\n  * %s\n\n -- %s  %s\n' "$number" "Release of $version." \
		"$maintainer" "$(date -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$root/usr/share/doc/limit/changelog.gz"
	cat >"$root/DEBIAN/control" <<-CONTROL
		Package: limit
		Version: $number
		Architecture: $1
		Maintainer: $maintainer
		Installed-Size: $(du -k -s --apparent-size "$root/usr" | cut -f1)
		Section: utils
		Priority: optional
		Description: concurrency limits in front of any command
		 Pools, run queue limits, tag limits and graphs of steps: a prefix for cron
		 lines, Makefiles and CI jobs. On one machine it needs no server; a fleet
		 shares its limits through etcd.
	CONTROL
	(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
	find "$root" -print0 | xargs -0 touch -h -d "@$SOURCE_DATE_EPOCH"
	dpkg-deb --root-owner-group -Zxz --build "$root" "$out/limit_${number}_$1.deb" >/dev/null
	echo "limit_${number}_$1.deb"
}

made=()
for platform in ${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}; do
	os=${platform%/*} arch=${platform#*/}
	name=limit-$version-$os-$arch
	GOOS=$os GOARCH=$arch scripts/build.sh "$work/$name"
	cp -r "$common/." "$work/$name"
	tar -C "$work" --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
		--mode=u+rwX,go+rX,go-w -cf - "$name" | gzip -9n >"$out/$name.tar.gz"
	made+=("$name.tar.gz")
	[ "$os" = linux ] && made+=("$(debian "$arch" "$work/$name")")
done
(cd "$out" && sha256sum "${made[@]}" >SHA256SUMS && cat SHA256SUMS)
