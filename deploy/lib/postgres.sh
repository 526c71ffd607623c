# A private PostgreSQL cluster: one unix socket, no TCP, peer authentication through a map.
# shellcheck shell=sh

# The version that made the cluster, or the newest one installed.
postgres_bin() {
	version=$(cat "$data/pg/data/PG_VERSION" 2>/dev/null) || version=
	[ -n "$version" ] || version=$(config_get MCPBOX_POSTGRES_VERSION)
	if [ -z "$version" ]; then
		for dir in /usr/lib/postgresql/*/bin; do version=$(basename "$(dirname "$dir")"); done
	fi
	[ -x "/usr/lib/postgresql/$version/bin/postgres" ] ||
		die "PostgreSQL $version, which the data in $data needs, is not installed"
	echo "/usr/lib/postgresql/$version/bin"
}

postgres_is_running() {
	supervisor_alive postgres && "$(postgres_bin)/pg_isready" -q -h "$data/run/pg" -U mcpbox -d mcpbox
}

postgres_start() {
	bin=$(postgres_bin)
	[ -e "$data/pg/data/PG_VERSION" ] || postgres_init
	# The cluster is closed to everyone else, so other commands ask here for its version.
	config_set MCPBOX_POSTGRES_VERSION "$(basename "$(dirname "$bin")")"
	postgres_write_access
	supervisor_alive postgres || postgres_forget_stale_pid
	: >"$data/env/postgres.env"
	chmod 0644 "$data/env/postgres.env"
	service_start postgres --stop-signal INT --ready-by-start -- "$bin/postgres" -D "$data/pg/data"
	postgres_wait
	postgres_make_database
}

postgres_init() {
	say "making the database"
	run_as mcpbox-postgres "$bin/initdb" -D "$data/pg/data" --username=postgres --auth-local=peer \
		--auth-host=reject --encoding=UTF8 --locale=C.UTF-8 --no-instructions >/dev/null ||
		die "initdb failed"
	run_as mcpbox-postgres sh -c 'echo "include = '"'mcpbox.conf'"'" >>"$1"' sh "$data/pg/data/postgresql.conf"
}

# Who may be whom, and the server's settings.  Written at each `up`: an upgrade of MCPBox may change them.
postgres_write_access() {
	if is_root; then
		map='mcpbox mcpbox-postgres postgres
mcpbox mcpbox-registry mcpbox
mcpbox root mcpbox'
	else
		map="mcpbox $(id -un) postgres
mcpbox $(id -un) mcpbox"
	fi
	postgres_write pg_ident.conf "$map"
	postgres_write pg_hba.conf 'local all all peer map=mcpbox'
	postgres_write mcpbox.conf "listen_addresses = ''
unix_socket_directories = '$data/run/pg'
max_connections = 50
jit = off
log_timezone = 'UTC'
timezone = 'UTC'
log_line_prefix = '%m [%p] '"
}

postgres_write() {
	printf '%s\n' "$2" | run_as mcpbox-postgres sh -c 'cat >"$1"' sh "$data/pg/data/$1"
}

# After a power cut the number in postmaster.pid may belong to another program, for which PostgreSQL would wait.
postgres_forget_stale_pid() {
	stale=$(run_as mcpbox-postgres head -n 1 "$data/pg/data/postmaster.pid" 2>/dev/null) || return 0
	case $(readlink "/proc/$stale/exe" 2>/dev/null) in
	*/postgres) ;;
	*) run_as mcpbox-postgres rm -f "$data/pg/data/postmaster.pid" ;;
	esac
}

postgres_wait() {
	tries=300
	until "$bin/pg_isready" -q -h "$data/run/pg" -U mcpbox -d mcpbox; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || service_failed postgres
		sleep 0.1
	done
}

postgres_make_database() {
	postgres_sql "SELECT 1 FROM pg_roles WHERE rolname = 'mcpbox'" | grep -q 1 ||
		postgres_sql 'CREATE ROLE mcpbox LOGIN' >/dev/null
	postgres_sql "SELECT 1 FROM pg_database WHERE datname = 'mcpbox'" | grep -q 1 ||
		postgres_sql 'CREATE DATABASE mcpbox OWNER mcpbox' >/dev/null
}

postgres_sql() {
	run_as mcpbox-postgres "$bin/psql" -X -q -A -t -h "$data/run/pg" -U postgres -d postgres -c "$1" ||
		die "the database refused: $1"
}
