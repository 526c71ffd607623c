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
		 accounts: $accounts,
		 services: [.[] | . as $s
			| ([$live[] | select((.role | ascii_downcase | ltrimstr("role_") | role) == $s.name)] as $same
			   | $s + {instance: ($same[0].instance // "")}) | del(.process)],
		 executors: [$live[] | select((.role | ascii_downcase | ltrimstr("role_")) == "executor")
			| {instance, capacity: (.capacity // 0), in_flight: (.in_flight // 0), layers: (.layers // {})}]}')
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
	status_instances | jq -r '(if type == "object" then (.instances // []) else . end)[]
		| select((.role | ascii_downcase | ltrimstr("role_")) == "executor")
		| "executor \(.instance): \(.in_flight // 0) of \(.capacity // 0) in use, layers \(.layers // {} | tojson)"'
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
