# Control groups: where an executor bounds what each of its workers may take (services/executor/cgroup.h).  Only root can
# hand a place over; without one the executor says so and does without.
# shellcheck shell=sh

# cgroup_bases: the directories below which places are made: one of v2, or memory and pids of v1, or none.
cgroup_bases() {
	top=${cgroup_top:-/sys/fs/cgroup}
	for base in "$top" "$top/unified"; do
		if grep -qsw memory "$base/cgroup.controllers" && grep -qsw pids "$base/cgroup.controllers"; then
			echo "$base"
			return
		fi
	done
	if [ -w "$top/memory" ] && [ -w "$top/pids" ]; then echo "$top/memory $top/pids"; fi
}

# cgroup_places EXECUTOR: the directories of that executor, whether they are there or not.
cgroup_places() {
	for base in $(cgroup_bases); do
		echo "$base/mcpbox-$(printf '%s' "$data" | cksum | cut -d' ' -f1)/$1"
	done
}

# cgroup_dirs EXECUTOR: what the executor is told: its directories with ':' between, empty when it has none.
cgroup_dirs() {
	list=
	for place in $(cgroup_places "$1"); do
		[ -d "$place" ] || return 0
		list=$list${list:+:}$place
	done
	echo "$list"
}

# cgroup_make EXECUTOR ACCOUNT: what cannot be made is left out; the executor reports what it reached.
cgroup_make() {
	is_root || return 0
	for place in $(cgroup_places "$1"); do
		mkdir -p "$place" 2>/dev/null || continue
		if [ -e "$place/cgroup.controllers" ]; then
			above=$(dirname "$place")
			for level in "$(dirname "$above")" "$above" "$place"; do
				echo '+memory +pids' >"$level/cgroup.subtree_control" || true
			done 2>/dev/null
			# A group with groups in it may hold no process itself: the executor lives in a leaf.
			mkdir -p "$place/supervisor" 2>/dev/null || continue
		fi
		chown "$2" "$place" "$place/cgroup.procs"
		[ ! -e "$place/cgroup.subtree_control" ] || chown "$2" "$place/cgroup.subtree_control"
	done
}

# cgroup_join EXECUTOR: v2 lets an account move processes only below a directory of its own, so they start there.
cgroup_join() {
	for place in $(cgroup_places "$1"); do
		[ ! -e "$place/supervisor/cgroup.procs" ] ||
			sh -c 'echo "$PPID" >"$0"' "$place/supervisor/cgroup.procs" 2>/dev/null || true
	done
}

# cgroup_remove EXECUTOR: once it has stopped.
cgroup_remove() {
	is_root || return 0
	for place in $(cgroup_places "$1"); do
		[ -d "$place" ] || continue
		find "$place" -depth -type d -exec rmdir {} + 2>/dev/null || true
		rmdir "$(dirname "$place")" 2>/dev/null || true
	done
}
