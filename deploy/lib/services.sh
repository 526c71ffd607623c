# Starting and stopping: one mcpbox-supervisor per service (services/supervisor/README.md).
# shellcheck shell=sh

# Each account has folders of its own, so that none can put a link or a pipe where another one writes.
service_folders() {
	account=$(account_of "$1")
	place_dir "$data/run/$1" 0755 "$account" "$account"
	place_dir "$data/log/$1" 0750 "$account" "$account"
}

lock_of() {
	echo "$data/run/$1/$1.lock"
}

# A supervisor holds its lock as long as it lives; pid files alone prove nothing.
supervisor_alive() {
	[ -e "$(lock_of "$1")" ] && ! flock -n "$(lock_of "$1")" true
}

# state_get SERVICE KEY
state_get() {
	sed -n "s/^$2=//p" "$data/run/$1/$1.state" 2>/dev/null || true
}

executor_names() {
	number=1
	while [ "$number" -le "$(config_get MCPBOX_EXECUTORS)" ]; do
		echo "executor-$number"
		number=$((number + 1))
	done
}

service_names() {
	echo postgres registry egress-proxy $(executor_names) gateway admin
}

# Prints why and ends `up`.
service_failed() {
	say "$1 did not start; its last log lines (more: ./mcpbox logs$at $1):"
	# What earlier starts said is no cause of this one's end.
	awk '/"event":"service.started"/ { n = 0 } { line[n++] = $0 }
		END { for (i = n > 20 ? n - 20 : 0; i < n; i++) print line[i] }' "$data/log/$1/$1.log" >&2 2>/dev/null || true
	exit 1
}

# service_start SERVICE [SUPERVISOR-OPTION...] -- PROGRAM...: leaves alone what runs as it should.
service_start() {
	name=$1
	shift
	tag=$({ cat "$data/env/$name.env" "$app/.hash"; cat "$data/env/$name".MCPBOX_* 2>/dev/null || true; echo "$@"; } | sha256sum | cut -c1-16)
	[ "$name" != postgres ] || tag=$(echo "$@" | sha256sum | cut -c1-16)
	if supervisor_alive "$name"; then
		[ "$(state_get "$name" tag)" != "$tag" ] || [ "$(state_get "$name" ready)" != 1 ] || return 0
		service_stop "$name"
	fi
	say "starting $name"
	service_folders "$name"
	status=0
	service_run_as "$name" "$app/libexec/mcpbox/mcpbox-supervisor" --name "$name" --run "$data/run/$name" \
		--log "$data/log/$name/$name.log" --env "$data/env/$name.env" --tag "$tag" "$@" || status=$?
	[ "$status" -eq 0 ] || service_failed "$name"
}

# An executor is started in the control group that it may divide.
service_run_as() (
	name=$1
	shift
	case $name in
	executor-*) cgroup_join "$name" ;;
	esac
	run_as "$(account_of "$name")" "$@"
)

service_run_binary() {
	case $1 in
	executor-*) cgroup_make "$1" "$(account_of "$1")" ;;
	esac
	settings_env "$1"
	service_start "$1" -- "$app/libexec/mcpbox/mcpbox-${1%%-[0-9]*}"
}

services_start() {
	services_stop_surplus
	service_run_binary registry
	# The rest waits for the registry only, so it may start at the same time.
	pids=
	for name in egress-proxy $(executor_names) gateway admin; do
		service_run_binary "$name" &
		pids="$pids $!"
	done
	for pid in $pids; do
		wait "$pid" || exit 1
	done
}

# Executors beyond the number asked for.
services_stop_surplus() {
	for folder in "$data"/run/executor-*; do
		name=$(basename "$folder")
		if [ "$name" != 'executor-*' ] && ! executor_names | grep -qx "$name"; then
			service_stop "$name"
			cgroup_remove "$name"
			rm -rf "$folder" "$data/env/$name.env" "${data:?}/log/$name"
		fi
	done
}

# Asks the supervisor, which drains its service; the lock tells when it is gone.
service_stop() {
	supervisor_alive "$1" || return 0
	pid=$(state_get "$1" supervisor)
	[ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null || true
	if ! flock -w 30 "$(lock_of "$1")" true; then
		say "$1 does not drain; killing it"
		[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
		flock -w 5 "$(lock_of "$1")" true || die "$1 (pid $pid) cannot be stopped"
	fi
	rm -f "$data/run/$1/$1.state"
}

# The doors first, what they stand on last.
services_stop() {
	executors=$(for folder in "$data"/run/executor-*; do basename "$folder"; done)
	for stage in 'gateway admin' "$executors" 'egress-proxy' 'registry' 'postgres'; do
		pids=
		for name in $stage; do
			service_stop "$name" &
			pids="$pids $!"
		done
		for pid in $pids; do wait "$pid"; done
	done
	for name in $executors; do cgroup_remove "$name"; done
}
