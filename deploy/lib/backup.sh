# Back-ups: one file that brings an instance back, and the way back.  docs/operations.md, "Back-up".
# shellcheck shell=sh

# What is in the file, a tar: each is read by its name, so nothing else in it matters.
backup_parts='manifest mark config.env database.dump root.key.sealed'
backups_kept=5

backup_psql() {
	"$(postgres_bin)/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$data/run/pg" -U mcpbox -d "${2:-mcpbox}" -c "$1"
}

# Number of the newest migration that the database has taken; 0 for none.
backup_schema() {
	if [ -n "$(backup_psql "SELECT to_regclass('schema_migrations')")" ]; then
		backup_psql 'SELECT coalesce(max(number), 0) FROM schema_migrations'
	else
		echo 0
	fi
}

backup_schema_known() {
	cat "$app/share/mcpbox/schema"
}

# ---- writing ------------------------------------------------------------------------------------------

# backup_write FILE [PASSPHRASE-FILE]: readable to the caller alone, whole or not there.
backup_write() (
	umask 077
	backup_target=$1
	parts=$(mktemp -d "$backup_target.XXXXXX") || exit 1
	trap 'rm -rf "$parts"' EXIT
	trap 'exit 1' INT TERM HUP
	"$(postgres_bin)/pg_dump" -h "$data/run/pg" -U mcpbox -Fc --no-owner -f "$parts/database.dump" mcpbox || exit 1
	grep -v -e '^MCPBOX_REGISTRY_ADDR=' -e '^MCPBOX_POSTGRES_VERSION=' "$data/config.env" >"$parts/config.env" || true
	if [ -n "${2:-}" ]; then
		backup_ctl keys seal "$parts/root.key.sealed" --root "$data/keys/root.key" --password-file "$2" || exit 1
	fi
	backup_manifest "$parts" >"$parts/manifest"
	grep -q '^schema [0-9]' "$parts/manifest" && grep -q '^audit_seq [0-9]' "$parts/manifest" || exit 1
	backup_ctl keys mark "$parts/manifest" --root "$data/keys/root.key" >"$parts/mark" || exit 1
	# shellcheck disable=SC2046
	tar -C "$parts" -cf "$parts/file" $(cd "$parts" && ls $backup_parts 2>/dev/null) || exit 1
	sync "$parts/file" && mv "$parts/file" "$backup_target"
)

backup_ctl() {
	"$app/libexec/mcpbox/mcpboxctl" --data "$data" "$@"
}

# backup_manifest PARTS: what is in the file and what it hashes to; the mark proves that nobody changed it.
backup_manifest() {
	echo 'mcpbox-backup 1'
	echo "made_at $(date -u +%Y-%m-%dT%H:%M:%SZ)"
	echo "version $(cat "$app/share/mcpbox/version")"
	echo "schema $(backup_schema)"
	echo "postgres $(basename "$(dirname "$(postgres_bin)")")"
	echo "audit_seq $(backup_psql 'SELECT seq FROM audit_head')"
	(cd "$1" && for part in database.dump config.env root.key.sealed; do
		[ ! -e "$part" ] || sha256sum "$part" | sed 's/^\([0-9a-f]*\) .\(.*\)/sha256 \2 \1/'
	done)
}

# ---- before a migration ---------------------------------------------------------------------------------

# Called by `up` when the database runs and the new registry does not: a newer schema is refused, an older one dumped.
backup_before_migration() {
	have=$(backup_schema)
	known=$(backup_schema_known)
	if [ "$have" -gt "$known" ]; then
		die "the data under $data has schema $have: a newer MCPBox made it, and this one knows schemas up to $known.
Nothing was changed. Start the newer version again; or go back to what was dumped before its migration:
$(backup_dumps | sed "s|^|  ./mcpbox restore$at --force |")"
	fi
	[ "$have" -gt 0 ] && [ "$have" -lt "$known" ] || return 0
	# What it would still write would not be in the dump.
	service_stop registry
	dump=$(backup_dump_name "schema-$have")
	backup_write "$dump" || die "the database could not be dumped before its migration; nothing was changed"
	say "schema $have is going to become $known; what was there is in $dump"
	backup_forget_old
}

backup_dump_name() {
	place_dir "$data/dumps" 0700 root root
	echo "$data/dumps/$(date -u +%Y%m%dT%H%M%SZ)-$1.backup"
}

# Newest first.
backup_dumps() {
	find "$data/dumps" -maxdepth 1 -name '*.backup' 2>/dev/null | sort -r
}

backup_forget_old() {
	backup_dumps | tail -n +$((backups_kept + 1)) | while IFS= read -r old; do rm -f "$old"; done
}

# ---- the commands ---------------------------------------------------------------------------------------

backup_usage() {
	cat <<-'EOT'
	usage: ./mcpbox backup FILE [--passphrase-file F] [--json]

	A snapshot of the database and the settings, taken while everything runs, readable to you alone.  The
	root key is NOT in it unless a passphrase seals it: without the key the back-up cannot be restored.

	usage: ./mcpbox restore FILE [--force] [--key-file F | --passphrase-file F]

	Into an instance that is stopped, or that is not there yet.  --force replaces what it holds, of which a
	back-up is kept first.  The key: --key-file, or the one in FILE with its passphrase, or the instance's.
	EOT
}

# backup_options ARGUMENT...: sets $file, $passphrase_file, $key_file, $force, $json.
backup_options() {
	file= passphrase_file= key_file= force=no json=no
	while [ $# -gt 0 ]; do
		case $1 in
		-h | --help) backup_usage; exit 0 ;;
		--passphrase-file | --key-file) [ $# -ge 2 ] || die_usage "$1 wants a file" ;;
		esac
		case $1 in
		--passphrase-file) passphrase_file=$2; shift ;;
		--key-file) key_file=$2; shift ;;
		--force) force=yes ;;
		--json) json=yes ;;
		-*) die_usage "$command: unknown argument $1" ;;
		*) [ -z "$file" ] || die_usage "$command takes one file"; file=$1 ;;
		esac
		shift
	done
	[ -n "$file" ] || die_usage "$command wants a file"
}

command_backup() {
	backup_options "$@"
	[ -z "$key_file" ] && [ "$force" = no ] || die_usage "backup takes --passphrase-file and --json only"
	[ -x "$app/libexec/mcpbox/mcpboxctl" ] || die "nothing is installed under $data; run ./mcpbox up$at first"
	[ ! -e "$file" ] || die "$file exists already; nothing is written over"
	postgres_is_running || { say "the database does not run; start it with ./mcpbox up$at"; exit 3; }
	[ -r "$data/keys/root.key" ] || die "$data/keys/root.key cannot be read; run this as the instance's owner"
	backup_write "$file" "$passphrase_file" || die "the back-up could not be written"
	if [ "$json" = yes ]; then
		printf '{"file":"%s","bytes":%s,"schema":%s,"has_key":%s}\n' "$(printf %s "$file" | sed 's/[\\"]/\\&/g')" \
			"$(stat -c %s "$file")" "$(backup_schema)" "$([ -n "$passphrase_file" ] && echo true || echo false)"
	else
		echo "$file: $(stat -c %s "$file") bytes"
	fi
	[ -n "$passphrase_file" ] || say "the root key is NOT in it: keep $data/keys/root.key elsewhere too, or the back-up is worth nothing"
}

# ---- reading --------------------------------------------------------------------------------------------

# restore_part NAME: by its name and as plain bytes, so that no link in the file leads anywhere.
restore_part() {
	tar -xOf "$file" "$1" >"$parts/$1" 2>/dev/null && [ -s "$parts/$1" ]
}

restore_line() {
	sed -n "s/^$1 //p" "$parts/manifest"
}

restore_open() {
	restore_part manifest && [ "$(head -n 1 "$parts/manifest")" = 'mcpbox-backup 1' ] ||
		die "$file is no back-up of MCPBox, or of a version that this one does not know"
	for part in mark config.env database.dump; do
		restore_part "$part" || die "$file is damaged: $part is missing"
	done
	restore_part root.key.sealed || rm -f "$parts/root.key.sealed"
	for part in config.env database.dump root.key.sealed; do
		[ ! -e "$parts/$part" ] ||
			[ "$(restore_line "sha256 $part")" = "$(sha256sum "$parts/$part" | cut -d ' ' -f 1)" ] ||
			die "$file is damaged: $part is not what was written"
	done
	case $(restore_line schema) in
	'' | *[!0-9]*) die "$file is damaged: it names no schema" ;;
	esac
	[ "$(restore_line schema)" -le "$(backup_schema_known)" ] ||
		die "$file has schema $(restore_line schema): it was made by MCPBox $(restore_line version), and this one knows schemas up to $(backup_schema_known). Restore it with that version or a newer one"
}

# Finds the key that the back-up was made under, in $parts/root.key.
restore_key() {
	key=${MCPBOX_ENCRYPTION_KEY:-}
	if [ -n "$key_file" ]; then
		cp "$key_file" "$parts/root.key" || die "the key file cannot be read"
	elif [ -n "$passphrase_file" ]; then
		[ -e "$parts/root.key.sealed" ] || die "no key is sealed in $file; give it with --key-file"
		backup_ctl keys open "$parts/root.key.sealed" --out "$parts/root.key" --password-file "$passphrase_file" >/dev/null ||
			die "the passphrase does not open the key in $file"
	elif [ -n "$key" ]; then
		printf '%s\n' "$key" >"$parts/root.key"
	elif [ -n "${MCPBOX_ENCRYPTION_KEY_FILE:-}" ]; then
		cp "$MCPBOX_ENCRYPTION_KEY_FILE" "$parts/root.key" || die "MCPBOX_ENCRYPTION_KEY_FILE cannot be read"
	elif [ -e "$data/keys/root.key" ]; then
		cp "$data/keys/root.key" "$parts/root.key"
	else
		die "the root key of the instance that made $file is needed: --key-file F, or --passphrase-file F if it is sealed in there.
Without it no secret can be opened and no history be proven"
	fi
	backup_ctl keys mark "$parts/manifest" --root "$parts/root.key" >"$parts/mark.ours" ||
		die "that is no root key"
	cmp -s "$parts/mark" "$parts/mark.ours" ||
		die "$file was made under another root key than this one, or was changed since; nothing was changed here"
}

# What would be lost; empty: nothing.
restore_content() {
	[ -e "$data/pg/data" ] || return 0
	[ "$(backup_schema)" -gt 0 ] || return 0
	backup_psql "SELECT s || ' servers and ' || u || ' users' FROM (SELECT count(*) FROM servers) a(s),
		(SELECT count(*) FROM users) b(u) WHERE s + u > 0"
}

restore_database() {
	postgres_sql 'DROP DATABASE IF EXISTS mcpbox_restored' >/dev/null
	postgres_sql 'CREATE DATABASE mcpbox_restored OWNER mcpbox' >/dev/null
	"$(postgres_bin)/pg_restore" -h "$data/run/pg" -U mcpbox -d mcpbox_restored --no-owner --exit-on-error \
		--single-transaction "$parts/database.dump" || die "the dump could not be read; nothing was changed"
	# Whoever was logged in then is not logged in now.
	backup_psql 'DELETE FROM sessions; DELETE FROM requests' mcpbox_restored
	postgres_sql 'DROP DATABASE IF EXISTS mcpbox WITH (FORCE)' >/dev/null
	postgres_sql 'ALTER DATABASE mcpbox_restored RENAME TO mcpbox' >/dev/null
}

restore_keep_key() {
	[ ! -e "$data/keys/root.key" ] || ! cmp -s "$parts/root.key" "$data/keys/root.key" || return 0
	if [ -e "$data/keys/root.key" ]; then
		place_dir "$data/dumps" 0700 root root
		mv "$data/keys/root.key" "$data/dumps/root.key.$(date -u +%Y%m%dT%H%M%SZ)"
		say "the instance's former root key is in $data/dumps now"
	fi
	install -m 0600 "$parts/root.key" "$data/keys/root.key"
	if is_root; then chown mcpbox-registry: "$data/keys/root.key"; fi
}

command_restore() {
	backup_options "$@"
	[ "$json" = no ] || die_usage "restore has no --json"
	[ -r "$file" ] || die "$file cannot be read"
	packages_need build run
	place_reachable
	place_lock
	build_tree release
	accounts_make
	place_make
	build_install release
	for name in registry gateway admin; do
		! supervisor_alive "$name" || die "the instance under $data runs; stop it first: ./mcpbox down$at"
	done
	parts=$(mktemp -d "$data/restore.XXXXXX")
	chmod 0700 "$parts"
	trap 'rm -rf "$parts"' EXIT
	trap 'exit 1' INT TERM HUP
	restore_open
	restore_key
	was_running=no
	! supervisor_alive postgres || was_running=yes
	postgres_start
	trap 'rm -rf "$parts"; [ "$was_running" = yes ] || service_stop postgres' EXIT
	holds=$(restore_content)
	if [ -n "$holds" ]; then
		[ "$force" = yes ] || die "the instance under $data holds $holds; --force replaces them"
		[ -r "$data/keys/root.key" ] || die "the instance under $data holds $holds, but its root key is gone; move $data away first"
		dump=$(backup_dump_name before-restore)
		backup_write "$dump" || die "what is there could not be dumped; nothing was changed"
		say "what was there is in $dump"
	fi
	restore_database
	restore_keep_key
	[ -s "$data/config.env" ] && grep -q '^MCPBOX_ADMIN_PORT=' "$data/config.env" || restore_settings
	echo "restored: MCPBox $(restore_line version) of $(restore_line made_at), audit up to $(restore_line audit_seq)"
	say "next: ./mcpbox up$at, then ./mcpbox ctl$at audit verify"
}

# Of an instance that has none yet; `up` judges them.  Files that they name may not be here.
restore_settings() {
	grep -e '^MCPBOX_[A-Z0-9_]*=' "$parts/config.env" | grep -v -e '_FILE=' -e '^MCPBOX_BUS_TLS_' \
		-e '^MCPBOX_REGISTRY_ADDR=' -e '^MCPBOX_POSTGRES_VERSION=' | while IFS= read -r line; do
		config_set "${line%%=*}" "${line#*=}"
	done
}
