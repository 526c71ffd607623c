#!/bin/bash
# Builds the tree and runs its unit tests inside a Debian 13 root, which is made with debootstrap from the
# mirror that this machine's own apt uses.  Usage: run.sh JUNIT_OUT
#
# The root is kept under $MCPBOX_CACHE and renewed when the package lists change, so that only the first
# run pays for it.  Whatever cannot be made is a failure, never a skip.
set -eu

repo=$(cd "$(dirname "$0")/../.." && pwd)
junit=${1:?usage: run.sh JUNIT_OUT}
cache=${MCPBOX_CACHE:-/var/cache/mcpbox}
root=$cache/debian13
lists="$repo/deploy/packages/build.txt $repo/deploy/packages/test-unit.txt"
# shellcheck disable=SC2086
stamp=$(cat $lists "$0" | sha256sum | cut -d' ' -f1)

say() { printf 'debian13: %s\n' "$*" >&2; }

host_mirror() {
	apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
		awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }'
}

packages() {
	# shellcheck disable=SC2086
	sed -e 's/#.*//' -e '/^[[:space:]]*$/d' $lists | sort -u
}

in_root() {
	# A mount namespace of its own: nothing that is mounted here outlives the command.
	unshare --mount --pid --fork -- sh -c '
		mount --make-rprivate /
		mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && mount -t tmpfs tmpfs "$0/tmp"
		exec chroot "$0" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
			DEBIAN_FRONTEND=noninteractive "$@"' "$root" "$@"
}

make_root() {
	mirror=$(host_mirror)
	[ -n "$mirror" ] || { say "this machine's apt knows no Debian mirror"; exit 1; }
	say "making a Debian 13 root (once per package list)"
	rm -rf "$root.new" "$root"
	mkdir -p "$cache"
	debootstrap --variant=minbase trixie "$root.new" "$mirror" >&2
	mv "$root.new" "$root"
	cp /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
	cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
	in_root apt-get update >&2
	# shellcheck disable=SC2046
	in_root apt-get install -y --no-install-recommends $(packages) >&2
	printf '%s\n' "$stamp" >"$root/.mcpbox-stamp"
}

[ "$(id -u)" = 0 ] || { say "needs root for debootstrap and chroot"; exit 1; }
mkdir -p "$cache"
exec 9>"$cache/debian13.lock"
flock 9
[ "$(cat "$root/.mcpbox-stamp" 2>/dev/null)" = "$stamp" ] || make_root

# A build directory for each checkout: times are kept, so that a second build is incremental, and what one checkout built
# would look newer than another one's sources.  Those of checkouts that are gone go, too.
for from in "$root"/trees/*/from; do
	[ ! -e "$from" ] || [ -d "$(cat "$from")" ] || rm -rf "$(dirname "$from")"
done
tree=/trees/$(printf '%s' "$repo" | sha256sum | cut -c1-16)
rm -rf "$root/src" "$root/out" "$root$tree/src" # the first two: of earlier versions of this script
mkdir -p "$root$tree/src" "$root$tree/out"
printf '%s\n' "$repo" >"$root$tree/from"

# The tree as it stands, without what was built from it.
tar -C "$repo" --exclude=./build --exclude=./.git --exclude=node_modules -cf - . | tar -C "$root$tree/src" -xf -
results=$tree/out/unit.xml
rm -f "$root$results"
say "building"
in_root cmake -S "$tree/src" -B "$tree/out" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >&2
in_root cmake --build "$tree/out" >&2
say "unit tests"
result=0
in_root ctest --test-dir "$tree/out" -L unit --output-on-failure --output-junit "$results" >&2 || result=$?
[ -s "$root$results" ] || { say "no test ran"; exit 1; }
cp "$root$results" "$junit"
exit "$result"
