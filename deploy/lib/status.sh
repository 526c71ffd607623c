# What runs, and whether it is well.
# shellcheck shell=sh

# service_healthy NAME: it runs, has said that it is ready, and answers where it can be asked.
service_healthy() {
	supervisor_alive "$1" || return 1
	[ "$(state_get "$1" ready)" = 1 ] || return 1
	case $1 in
	postgres) "$(postgres_bin)/pg_isready" -q -h "$data/run/pg" -U mcpbox -d mcpbox ;;
	gateway) status_http MCPBOX_GATEWAY_PORT ;;
	admin) status_http MCPBOX_ADMIN_PORT ;;
	esac
}

# The ports listen on one address; the Host header is one that both accept without being told.
status_http() {
	address=$(config_get MCPBOX_LISTEN_HOST)
	case $address in
	'' | 0.0.0.0) address=127.0.0.1 ;;
	esac
	curl -fsS -m 3 --noproxy '*' -H 'Host: 127.0.0.1' -o /dev/null "http://$address:$(config_get "$1")/health" 2>/dev/null
}

# What the registry knows of live instances: a JSON array, empty without a registry.
status_instances() {
	"$app/libexec/mcpbox/mcpboxctl" --data "$data" instances --json 2>/dev/null || echo '[]'
}

status_service_json() {
	healthy=false
	service_healthy "$1" && healthy=true
	pid=$(state_get "$1" pid)
	since=$(state_get "$1" since)
	version=$(cat "$app/share/mcpbox/version" 2>/dev/null || true)
	[ "$1" != postgres ] || version=$(config_get MCPBOX_POSTGRES_VERSION)
	supervisor_alive "$1" || pid=0
	jq -nc --arg name "${1%-[0-9]}" --arg process "$1" --argjson pid "${pid:-0}" --argjson healthy "$healthy" \
		--argjson since "${since:-0}" --arg version "$version" \
		'{name: $name, process: $process, instance: "", pid: $pid, healthy: $healthy,
		  since: (if $since > 0 then ($since | todate) else null end), version: $version}'
}

status_services() {
	[ -r "$data/config.env" ] || return 0
	for name in $(service_names); do
		status_service_json "$name"
	done
}

status_json() {
	accounts=per-service
	is_root || accounts=shared
	status_document=$(status_services | jq -sc --argjson instances "$(status_instances)" --arg accounts "$accounts" '
		($instances | if type == "object" then (.instances // []) else . end) as $live |
		def role: if . == "egress" then "egress-proxy" else . end;
		{healthy: (length > 0 and all(.healthy)),
		 paused: ($instances | if type == "object" then (.paused // false) else false end),
		 paused_servers: ($instances | if type == "object" then (.paused_servers // []) else [] end),
		 accounts: $accounts,
		 services: [.[] | . as $s
			| ([$live[] | select((.role | ascii_downcase | ltrimstr("role_") | role) == $s.name)] as $same
			   | $s + {instance: ($same[0].instance // "")}) | del(.process)],
		 executors: [$live[] | select((.role | ascii_downcase | ltrimstr("role_")) == "executor")
			| {instance, capacity: (.capacity // 0), in_flight: (.in_flight // 0), layers: (.layers // {}),
			   missing: (.missing // {})}]}')
	printf '%s\n' "$status_document"
}

status_table() {
	[ -r "$data/config.env" ] || { say "no instance under $data; start one with ./mcpbox up$at"; return 0; }
	printf '%-14s %-8s %-9s %s\n' SERVICE PID HEALTHY SINCE
	for name in $(service_names); do
		status_service_json "$name" |
			jq -r '[.process, .pid, .healthy, (.since // "-")] | @tsv' |
			while IFS='	' read -r process pid healthy since; do
				printf '%-14s %-8s %-9s %s\n' "$process" "$pid" "$healthy" "$since"
			done
	done
	if is_root; then
		echo 'accounts: one per service'
	else
		echo 'accounts: all services share one uid; run as root to keep their keys apart'
	fi
	status_paused
	status_executors
}

# Calls that an administrator has stopped.
status_paused() {
	status_instances | jq -r '
		if type != "object" then empty
		elif .paused then "all calls are paused; ./mcpbox ctl resume lets them begin again"
		else (.paused_servers // [])[] | "the calls of server \(.) are paused; ./mcpbox ctl resume \(.)" end'
}

# The isolation that each executor reached, a column a layer; below it what is missing and why.
status_executors() {
	status_instances | jq -r '
		def cell: if . == true then "yes" elif . == false then "no" else tostring end;
		def pad($n): . + " " * ([$n - length, 0] | max);
		[(if type == "object" then (.instances // []) else . end)[]
			| select((.role | ascii_downcase | ltrimstr("role_")) == "executor")] as $all
		| if $all == [] then empty else
			([$all[].layers // {} | keys_unsorted[]] | unique) as $known
			| (["seccomp", "landlock", "userns", "pidns", "mountns", "netns", "cgroup", "nofs"]
				| map(select(. as $name | $known | index([$name])))) as $layers
			| "", (["EXECUTOR" | pad(20)] + ["IN USE" | pad(8)] + [$layers[] | pad(8)] | join(" ")),
			($all[] | . as $one
				| ([.instance | pad(20)] + ["\(.in_flight // 0) of \(.capacity // 0)" | pad(8)]
					+ [$layers[] | ($one.layers[.] // false) | cell | pad(8)] | join(" ")),
				((.missing // {}) | to_entries | group_by(.value)[]
					| "  no \(map(.key) | join(", ")): \(.[0].value)"))
		end' | sed 's/ *$//'
}

# For `status -v`: what the columns stand for.
status_explain() {
	cat <<-'EOF'

	seccomp   a list of the system calls that tool code may make
	landlock  files outside of a list, TCP, signals outward are refused by the kernel; the number is its version
	userns    an own user namespace, with a count of processes of its own for each call
	pidns     no other process can be seen or signalled
	mountns   an own file tree without /proc and /home, and private scratch space
	netns     no network interface
	cgroup    what a tool takes altogether is bounded; the number is the version of the control groups
	nofs      stands in for landlock: no system call takes a path

	What each holds and how a host is given it: services/executor/README.md, docs/operations.md
	EOF
}

status_is_healthy() {
	[ -r "$data/config.env" ] || return 1
	for name in $(service_names); do
		service_healthy "$name" || return 1
	done
}

# The last step of `up`.
status_wait_healthy() {
	for name in $(service_names); do
		tries=150
		until service_healthy "$name"; do
			tries=$((tries - 1))
			[ "$tries" -gt 0 ] || service_failed "$name"
			sleep 0.1
		done
	done
}
