# Where an instance lives: $data, its directories, its lock and its remembered configuration.
# shellcheck shell=sh

say() { printf 'mcpbox: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
die_usage() { say "$*"; exit 2; }

is_root() { [ "$(id -u)" = 0 ]; }

# place_find GIVEN: sets $data and $app.
place_find() {
	if [ -n "$1" ]; then
		data=$1
	elif [ -n "${MCPBOX_DATA:-}" ]; then
		data=$MCPBOX_DATA
	elif is_root; then
		data=/var/lib/mcpbox
	else
		data=${XDG_STATE_HOME:-$HOME/.local/state}/mcpbox
	fi
	case $data in
	/*) ;;
	*) data=$PWD/$data ;;
	esac
	app=$data/app
	# For hints: the option that names this instance again.
	at=${1:+ --data $1}
	# A path of a unix socket ends at 107 bytes.
	[ "${#data}" -le 80 ] || die "$data is too long a path for a data directory (80 bytes at most)"
	# Settings of PostgreSQL and libpq hold the path.
	case $data in
	*[[:space:],:\'\"\\]*)
		die "'$data' cannot be a data directory: no spaces, quotes, backslashes, commas or colons, please"
		;;
	esac
}

# place_owned COMMAND: only root may look after the instance of somebody else, and not even root may take it over.
place_owned() {
	owner=$(stat -c %U "$data/keys" 2>/dev/null) || return 0
	[ "$owner" != "$(id -un)" ] || return 0
	is_root || die "the instance under $data belongs to $owner; use sudo or another --data"
	[ "$1" != up ] || die "the instance under $data belongs to $owner, who must start it; or choose another --data"
}

# One `up` or `down` at a time; the lock goes with this process.
place_lock() {
	{ mkdir -p "$data" && [ -w "$data" ]; } 2>/dev/null ||
		die "$(id -un) cannot write to $data; use sudo or another --data"
	# Nobody else may hold it: an account that could open it could keep `up` waiting for ever.
	(umask 077 && : >>"$data/.lock") && chmod 0600 "$data/.lock"
	exec 9>"$data/.lock"
	flock -n 9 || { say "waiting for another ./mcpbox on $data"; flock 9; }
}

# place_dir PATH MODE OWNER GROUP
place_dir() {
	[ -d "$1" ] || mkdir -p "$1"
	chmod "$2" "$1"
	if is_root; then chown "$3:$4" "$1"; fi
}

place_make() {
	place_dir "$data" 0755 root root
	place_dir "$data/run" 0755 root root
	place_dir "$data/log" 0755 root root
	place_dir "$data/env" 0711 root root
	place_dir "$data/keys" 0711 root root
	place_dir "$data/ctl" 0700 root root
	place_dir "$data/spool" 0711 root root
	place_dir "$data/spool/gateway" 0700 mcpbox-gateway mcpbox-gateway
	place_dir "$data/spool/egress-proxy" 0700 mcpbox-egress-proxy mcpbox-egress-proxy
	place_dir "$data/pg" 0700 mcpbox-postgres mcpbox-postgres
	place_dir "$data/run/pg" 0750 mcpbox-postgres mcpbox-registry
	# The only path between executor and egress-proxy; setgid gives the socket the shared group.
	place_dir "$data/run/egress" 2750 mcpbox-egress-proxy mcpbox-call
}

# Accounts must be able to walk to the data directory.  Asked before anything is made, so `nobody` may stand in.
place_reachable() {
	is_root || return 0
	above=$(dirname "$data")
	until [ -d "$above" ]; do above=$(dirname "$above"); done
	walker=mcpbox-gateway
	getent passwd "$walker" >/dev/null || walker=65534
	run_as "$walker" test -x "$above" ||
		die "the accounts of the services cannot reach $data; choose another --data or open the directories above it"
}

place_purge() {
	[ -e "$data/config.env" ] || [ -d "$data/spool/egress-proxy" ] || die "$data does not look like a data directory of MCPBox; nothing is deleted"
	for name in app app.new env keys ctl spool pg run log dumps config.env config.next .lock; do
		rm -rf "${data:?}/$name"
	done
	rmdir "$data" 2>/dev/null || say "$data holds files that are not ours; they stay"
}

# What config_get reads and config_set writes.  While `up` judges new settings it is a draft.
config_file() {
	if [ -n "${config_draft:-}" ]; then echo "$config_draft"; else echo "$data/config.env"; fi
}

config_draft_open() {
	config_draft=$data/config.next
	if [ -e "$data/config.env" ]; then cp "$data/config.env" "$config_draft"; else : >"$config_draft"; fi
}

config_draft_keep() {
	mv "$config_draft" "$data/config.env"
	config_draft=
}

# config_get NAME: the remembered value, empty when there is none.
config_get() {
	[ -r "$(config_file)" ] || return 0
	sed -n "s/^$1=//p" "$(config_file)" | head -n 1
}

# config_set NAME VALUE: an empty value forgets the name.
config_set() {
	config=$(config_file)
	[ "$(config_get "$1")" != "$2" ] || return 0
	{
		grep -v "^$1=" "$config" || true
		[ -z "$2" ] || printf '%s=%s\n' "$1" "$2"
	} | sort >"$config.new"
	chmod 0600 "$config.new" # settings may hold a password
	mv "$config.new" "$config"
}
