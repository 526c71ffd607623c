# One account per service, so that each key file has one reader.  Without root there is one uid for all.
# shellcheck shell=sh

service_accounts='mcpbox-registry mcpbox-gateway mcpbox-executor mcpbox-egress-proxy mcpbox-admin mcpbox-postgres'

accounts_make() {
	is_root || return 0
	for group in mcpbox mcpbox-call; do
		getent group "$group" >/dev/null || groupadd --system "$group"
	done
	for account in $service_accounts; do
		accounts_add "$account"
	done
}

accounts_add() {
	getent passwd "$1" >/dev/null && return 0
	groups=mcpbox
	case $1 in
	mcpbox-executor | mcpbox-egress-proxy) groups=mcpbox,mcpbox-call ;;
	esac
	getent group "$1" >/dev/null || groupadd --system "$1"
	useradd --system --gid "$1" --groups "$groups" --no-create-home --home-dir /nonexistent \
		--shell /usr/sbin/nologin --comment MCPBox "$1"
}

# run_as ACCOUNT COMMAND...: with that account's powers and no way to get more.
run_as() {
	account=$1
	shift
	if is_root; then
		# From /, because the account may not be able to stand where the caller does.
		(cd / && setpriv --reuid "$account" --regid "$account" --init-groups --no-new-privs \
			--inh-caps=-all --bounding-set=-all -- "$@")
	else
		"$@"
	fi
}

# account_of SERVICE
account_of() {
	case $1 in
	executor*) echo mcpbox-executor ;;
	*) echo "mcpbox-$1" ;;
	esac
}
