# Debian packages: only what is missing is installed.
# shellcheck shell=sh

# packages_need LIST...: lists of deploy/packages.
packages_need() {
	wanted=$(for list in "$@"; do sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$repo/deploy/packages/$list.txt"; done | sort -u)
	# shellcheck disable=SC2086
	present=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null | sed -n 's/^installed //p')
	missing=$(printf '%s\n' "$wanted" | grep -vxF "$(printf '%s\n' "$present")" || true)
	[ -z "$missing" ] && return 0
	say "installing packages:" $missing
	packages_install $missing
}

as_superuser() {
	if is_root; then
		"$@"
	else
		command -v sudo >/dev/null || die "root or sudo is needed to install:" $missing
		sudo "$@"
	fi
}

packages_install() {
	# The Debian package of PostgreSQL would start a cluster of its own, on a port that is not ours.
	if ! [ -e /etc/postgresql-common/createcluster.conf ]; then
		as_superuser mkdir -p /etc/postgresql-common
		echo 'create_main_cluster = false' |
			as_superuser tee /etc/postgresql-common/createcluster.conf >/dev/null
	fi
	# An index that is there may be good enough; only a failure asks for a new one.
	packages_apt "$@" || { as_superuser apt-get update >&2 && packages_apt "$@"; } ||
		die "apt-get could not install:" "$@"
}

packages_apt() {
	as_superuser env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold "$@" >&2
}
