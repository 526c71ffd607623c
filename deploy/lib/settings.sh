# What the services are told: remembered settings, ports, keys, one environment file per service.
# shellcheck shell=sh

# Read by this script or by tools beside the services, never passed on.
own_settings='MCPBOX_DATA MCPBOX_TOKEN MCPBOX_CACHE MCPBOX_ENCRYPTION_KEY MCPBOX_ENCRYPTION_KEY_FILE'

# settings_take EXECUTORS: remembers what the environment and the command line give, once all of it is found good:
# until then nothing has been stopped and nothing stored.
settings_take() {
	config_draft_open
	settings_take_environment
	[ -z "$1" ] || config_set MCPBOX_EXECUTORS "$1"
	settings_default MCPBOX_EXECUTORS 1
	settings_default MCPBOX_GATEWAY_PORT 8000
	settings_default MCPBOX_ADMIN_PORT 3000
	settings_listen_host
	settings_http_ports
	settings_bus_port
	settings_keys
	settings_judge
	config_draft_keep
}

settings_check_executors() {
	case $1 in
	[1-9]) ;;
	*) die_usage "--executors wants a number from 1 to 9, not '$1'" ;;
	esac
}

# Each service reads the environment that it would be started with, as the account that it would run as, and says
# what it does not like.  Of what several dislike one complaint is enough.
settings_judge() {
	env_dir=$data/env/next
	rm -rf "$env_dir"
	mkdir -m 0711 "$env_dir" # each service's account finds its own files in it
	cp -p "$data"/env/*.MCPBOX_* "$env_dir" 2>/dev/null || true
	complaints=$(for role in registry gateway executor egress-proxy admin; do
		settings_env "$role"
		settings_judge_role "$role" 2>&1 >/dev/null || true
	done | sort -u -t : -k 1,1)
	rm -rf "$env_dir"
	env_dir=
	[ -z "$complaints" ] || die "refused, and nothing was changed:
$complaints"
}

settings_judge_role() (
	unset $(settings_given)
	while IFS= read -r line; do export "$line"; done <"$env_dir/$1.env"
	run_as "$(account_of "$1")" "$app/libexec/mcpbox/mcpbox-$1" --print-config
)

settings_default() {
	[ -n "$(config_get "$1")" ] || config_set "$1" "$2"
}

# The names MCPBOX_* of this script's environment.
settings_given() {
	env | sed -n 's/^\(MCPBOX_[A-Z0-9_]*\)=.*/\1/p' | sort -u
}

settings_take_environment() {
	for name in $(settings_given); do
		case " $own_settings " in
		*" $name "*) continue ;;
		esac
		settings_is_known "$name" || { say "no service reads $name; it is ignored"; continue; }
		value=$(printenv "$name" || true)
		case $value in
		*'
'*) die "$name has more than one line" ;;
		esac
		case $name in
		*_FILE | MCPBOX_BUS_TLS_*) settings_check_file ;;
		esac
		config_set "$name" "$value"
	done
}

# A file is remembered by its whole path: the next `up` may stand elsewhere.
settings_check_file() {
	[ -n "$value" ] || return 0
	given=$value
	value=$(realpath -e -- "$given" 2>/dev/null) && [ -f "$value" ] && [ -r "$value" ] ||
		die "$name=$given: there is no such file, or it cannot be read"
}

settings_is_known() {
	cat "$app"/share/mcpbox/settings/* | grep -qx -e "$1" -e "${1%_FILE}"
}

# Three ports in a row for the registry.  A remembered one that somebody else has taken is replaced, one that
# was asked for is not.
settings_bus_port() {
	addr=$(config_get MCPBOX_REGISTRY_ADDR)
	settings_runs_with registry MCPBOX_REGISTRY_ADDR && return 0
	if [ -n "$addr" ]; then
		settings_is_port "${addr##*:}" || die "MCPBOX_REGISTRY_ADDR=$addr does not end with a port from 1 to 65535"
		! ports_free "${addr##*:}" || return 0
	fi
	[ -z "${MCPBOX_REGISTRY_ADDR:-}" ] ||
		die "MCPBOX_REGISTRY_ADDR=$addr: one of the ports ${addr##*:} and the two after it is in use"
	port=8100
	if [ "$data" != /var/lib/mcpbox ]; then
		port=$((10000 + $(printf '%s' "$data" | cksum | cut -d' ' -f1) % 6000 * 3))
	fi
	while ! ports_free "$port"; do port=$((port + 3)); done
	case $addr in
	tls+tcp://*) scheme=tls+tcp:// ;;
	*) scheme= ;;
	esac
	config_set MCPBOX_REGISTRY_ADDR "${scheme}127.0.0.1:$port"
}

ports_free() {
	for own in $(config_get MCPBOX_GATEWAY_PORT) $(config_get MCPBOX_ADMIN_PORT); do
		[ "$own" -lt "$1" ] || [ "$own" -gt $(($1 + 2)) ] || return 1
	done
	[ -z "$(ss -Hltn "sport >= :$1 and sport <= :$(($1 + 2))")" ]
}

# Whether this machine has the address, only an attempt can tell.
settings_listen_host() {
	host=$(config_get MCPBOX_LISTEN_HOST)
	case $host in
	'' | *:*) return 0 ;;
	esac
	/usr/bin/python3 -c 'import socket, sys; socket.socket().bind((sys.argv[1], 0))' "$host" 2>/dev/null ||
		die "MCPBOX_LISTEN_HOST=$host is no address of this machine"
}

settings_http_ports() {
	settings_port_free MCPBOX_GATEWAY_PORT gateway
	settings_port_free MCPBOX_ADMIN_PORT admin
	[ "$(config_get MCPBOX_GATEWAY_PORT)" != "$(config_get MCPBOX_ADMIN_PORT)" ] ||
		die "MCPBOX_GATEWAY_PORT and MCPBOX_ADMIN_PORT are both $port; they must differ"
}

# settings_runs_with SERVICE NAME: it lives, and was started with what is to be in force.
settings_runs_with() {
	supervisor_alive "$1" && grep -qxF "$2=$(config_get "$2")" "$data/env/$1.env"
}

settings_is_port() {
	case $1 in
	'' | 0* | *[!0-9]* | ??????*) return 1 ;;
	esac
	[ "$1" -le 65535 ]
}

# settings_port_free NAME SERVICE: names who has the port that SERVICE is going to open.
settings_port_free() {
	port=$(config_get "$1")
	settings_is_port "$port" || die "$1=$port is no port from 1 to 65535"
	settings_runs_with "$2" "$1" && return 0
	[ "$port" -ge "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" ] ||
		die "$1=$port: only root may listen on so low a port, and the services do not run as root; take one from 1024 on"
	holder=$(ss -Hltnp "sport = :$port" | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/ by \1 (pid \2)/p' | head -n 1)
	[ -z "$(ss -Hltn "sport = :$port")" ] ||
		die "port $port is in use$holder; give $2 another one with $1=PORT ./mcpbox up$at"
}

# The root key and one key file per role, each readable to its account alone.
settings_keys() {
	settings_given_key
	# A new key would fit nothing of what is there.
	if [ ! -e "$data/keys/root.key" ] && [ -d "$data/pg/data" ]; then
		die "the root key $data/keys/root.key is gone, and the data in $data was made with it. Nothing was changed.
Give it back from where you keep it: MCPBOX_ENCRYPTION_KEY_FILE=FILE ./mcpbox up$at
Without it no stored secret can be opened. With a back-up that has the key sealed in it: ./mcpbox restore --help"
	fi
	"$app/libexec/mcpbox/mcpboxctl" keys init --root "$data/keys/root.key" --out "$data/keys" >/dev/null ||
		die "the keys could not be made"
	chmod 0600 "$data"/keys/*.key
	is_root || return 0
	chown mcpbox-registry: "$data/keys/root.key"
	for role in gateway executor admin; do
		chown "mcpbox-$role:" "$data/keys/$role.key"
	done
	chown mcpbox-egress-proxy: "$data/keys/egress.key"
}

settings_given_key() {
	key=${MCPBOX_ENCRYPTION_KEY:-}
	if [ -z "$key" ] && [ -n "${MCPBOX_ENCRYPTION_KEY_FILE:-}" ]; then
		key=$(cat "$MCPBOX_ENCRYPTION_KEY_FILE") || die "MCPBOX_ENCRYPTION_KEY_FILE cannot be read"
	fi
	[ -n "$key" ] || return 0
	if [ -e "$data/keys/root.key" ]; then
		[ "$key" = "$(cat "$data/keys/root.key")" ] || die "MCPBOX_ENCRYPTION_KEY is not the key that this instance's data was made with"
		return 0
	fi
	(umask 077 && printf '%s\n' "$key" >"$data/keys/root.key")
}

# settings_env SERVICE: writes $data/env/SERVICE.env (or into $env_dir) from what its table names.
settings_env() {
	env_file=${env_dir:-$data/env}/$1.env
	known=$app/share/mcpbox/settings/${1%-[0-9]}
	{
		settings_internal "$1" | while IFS= read -r line; do
			name=${line%%=*}
			grep -qx -e "$name" -e "${name%_FILE}" "$known" && printf '%s\n' "$line" || true
		done
		while IFS= read -r line; do
			name=${line%%=*}
			if grep -qx -e "$name" -e "${name%_FILE}" "$known"; then settings_line "$1" "$name" "${line#*=}"; fi
		done <"$(config_file)"
	} >"$env_file.new"
	chmod 0600 "$env_file.new"
	if is_root; then chown "$(account_of "$1"):" "$env_file.new"; fi
	mv "$env_file.new" "$env_file"
}

# A file that the operator names may lie where the service's account cannot read it: it gets a copy.
settings_line() {
	case $2 in
	*_FILE | MCPBOX_BUS_TLS_*)
		copy=${env_dir:-$data/env}/$1.$2
		if [ -r "$3" ]; then
			install -m 0600 "$3" "$copy"
			if is_root; then chown "$(account_of "$1"):" "$copy"; fi
		fi
		printf '%s=%s\n' "$2" "$copy"
		;;
	*) printf '%s=%s\n' "$2" "$3" ;;
	esac
}

# settings_internal SERVICE: what `up` itself decides.  Each service takes the lines that its table names.
settings_internal() {
	role=${1%-[0-9]}
	cat <<-EOF
	MCPBOX_KEYS_FILE=$data/keys/${role%-proxy}.key
	MCPBOX_ENCRYPTION_KEY_FILE=$data/keys/root.key
	MCPBOX_REGISTRY_DB_URL=host=$data/run/pg dbname=mcpbox user=mcpbox
	MCPBOX_SPOOL_DIR=$data/spool/$role
	MCPBOX_EGRESS_SOCKET=$data/run/egress/egress.sock
	MCPBOX_WORKER_PATH=$app/libexec/mcpbox/mcpbox-worker
	MCPBOX_RUNTIME_DIR=$app/share/mcpbox/runtime
	MCPBOX_CGROUP=$(case $1 in executor-*) cgroup_dirs "$1" ;; esac)
	EOF
}
