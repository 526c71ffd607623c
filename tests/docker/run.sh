#!/bin/bash
# The executor's sandbox inside real Docker containers: with the default profile, and with deploy/seccomp.json.
# By hand, as root, after `./mcpbox test integration` (or with MCPBOX_TEST_BIN=DIR):  tests/docker/run.sh
#
# Needs docker.io and debootstrap.  The image is made from this machine's own Debian release and mirror, no registry is
# asked; it is kept under $MCPBOX_CACHE.  Where no dockerd runs, one is started for the time of the test, without a network.
set -eu

repo=$(cd "$(dirname "$0")/../.." && pwd)
bin=${MCPBOX_TEST_BIN:-$repo/build/dev/bin}
cache=${MCPBOX_CACHE:-/var/cache/mcpbox}
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
root=$cache/docker-$release
image=mcpbox-test:$release
work=$(mktemp -d)
failed=0

say() { printf 'docker: %s\n' "$*" >&2; }

stop() {
	if [ -n "${daemon:-}" ]; then kill "$daemon" && wait "$daemon" || true; fi
	rm -rf "$work"
}
trap stop EXIT

# Packages of this machine that hold the libraries of the two programs.
libraries() {
	ldd "$bin/executor_run" "$bin/mcpbox-worker" | awk '$3 ~ /^\// { print $3 }' | sort -u |
		while read -r file; do dpkg -S "$(realpath "$file")" 2>/dev/null || true; done |
		cut -d: -f1 | sort -u
}

make_root() {
	mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
		awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }')
	say "making a root (once)"
	rm -rf "$root.new" "$root"
	mkdir -p "$cache"
	debootstrap --variant=minbase "$release" "$root.new" "$mirror" >&2
	cp /etc/apt/apt.conf.d/* "$root.new/etc/apt/apt.conf.d/" 2>/dev/null || true
	cp /etc/resolv.conf "$root.new/etc/resolv.conf" 2>/dev/null || true
	chroot "$root.new" apt-get update >&2
	# shellcheck disable=SC2046
	chroot "$root.new" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		$(libraries) python3 python3-httpx >&2
	mv "$root.new" "$root"
}

start_docker() {
	docker info >/dev/null 2>&1 && return 0
	export DOCKER_HOST=unix://$work/docker.sock
	dockerd --data-root "$work/data" --exec-root "$work/exec" -p "$work/pid" -H "$DOCKER_HOST" --iptables=false \
		--ip-masq=false --bridge=none >"$work/dockerd.log" 2>&1 &
	daemon=$!
	for _ in $(seq 100); do
		docker info >/dev/null 2>&1 && return 0
		sleep 0.2
	done
	tail -n 20 "$work/dockerd.log" >&2
	exit 1
}

# contained DOCKER-OPTION... -- EXECUTOR-RUN-OPTION...: one call; what it printed is in $said.
contained() {
	options=
	while [ "$1" != -- ]; do options="$options $1"; shift; done
	shift
	# shellcheck disable=SC2086
	said=$(echo '{"id":"1","code":"def main(): return 40 + 2","arguments":{}}' |
		docker run --rm -i --network none --user 65534:65534 --cap-drop ALL --security-opt no-new-privileges --read-only \
			--tmpfs /tmp:noexec,nosuid,nodev,size=64m --pids-limit 512 --memory 1g -v "$work/bin:/mcpbox:ro" $options \
			"$image" /mcpbox/executor_run /mcpbox/mcpbox-worker /mcpbox/runtime "$@" 2>&1 || true)
}

# expect NAME PATTERN...: each must be in $said.
expect() {
	name=$1
	shift
	for pattern in "$@"; do
		if ! grep -q -- "$pattern" <<<"$said"; then
			echo "FAILED $name: no $pattern in: $said"
			failed=1
			return 0
		fi
	done
	echo "ok     $name"
}

[ "$(id -u)" = 0 ] || { say "needs root"; exit 1; }
[ -d "$root" ] || make_root
start_docker
tar -C "$root" --exclude=./var/cache/apt --exclude=./var/lib/apt/lists -cf - . | docker import - "$image" >/dev/null
mkdir "$work/bin"
cp "$bin/executor_run" "$bin/mcpbox-worker" "$work/bin"
cp -r "$repo/services/executor/runtime" "$work/bin"
chmod -R a+rX "$work"

contained --
expect 'default profile: seccomp and Landlock hold, no namespaces, calls run' '"seccomp":true' '"landlock":[1-9]' '"userns":false' \
	'"text":"42"'
contained -- --floor seccomp,landlock,userns
expect 'default profile below the floor: refused, with the remedy' "'userns'" 'seccomp=deploy/seccomp.json'
contained --security-opt "seccomp=$repo/deploy/seccomp.json" -- --floor seccomp,landlock,userns,pidns,mountns,netns
expect 'deploy/seccomp.json: all namespaces, calls run' '"seccomp":true' '"landlock":[1-9]' '"userns":true' '"pidns":true' \
	'"mountns":true' '"netns":true' '"text":"42"'
exit "$failed"
