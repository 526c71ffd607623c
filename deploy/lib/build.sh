# From sources to $app.  Everything that runs comes from there: the clone may lie where no account can read.
# shellcheck shell=sh

# build_tree PRESET: does nothing quickly when no source has changed.
build_tree() {
	if [ -e "$repo/build/$1/bin/mcpbox-registry" ] && [ ! -w "$repo/build/$1" ]; then
		say "$repo/build may not be written by $(id -un): using what is built there"
		return 0
	fi
	[ -e "$repo/build/$1/build.ninja" ] ||
		(cd "$repo" && cmake --preset "$1" -DBOX_TESTS=OFF) >&2 || die "cmake could not configure the build"
	build_log=$(mktemp)
	cmake --build "$repo/build/$1" >"$build_log" 2>&1 || { tail -n 40 "$build_log" >&2; rm -f "$build_log"; die "the build failed"; }
	grep -q 'no work to do' "$build_log" || say "built"
	rm -f "$build_log"
}

# build_install PRESET: replaces $app as a whole, and only when something in it differs.
build_install() {
	rm -rf "$app.new"
	cmake --install "$repo/build/$1" --prefix "$app.new" >/dev/null || die "the installation failed"
	(cd "$app.new" && find . -type f ! -name .hash -print0 | sort -z | xargs -0 sha256sum | sha256sum) >"$app.new/.hash"
	if cmp -s "$app.new/.hash" "$app/.hash"; then
		rm -rf "$app.new"
		return 0
	fi
	build_describe
	chmod -R u=rwX,go=rX "$app.new"
	rm -rf "$app"
	mv "$app.new" "$app"
}

# Which settings each service knows: its own table says so.
build_describe() {
	mkdir -p "$app.new/share/mcpbox/settings"
	for service in registry gateway executor egress-proxy admin; do
		"$app.new/libexec/mcpbox/mcpbox-$service" --print-config-table >"$app.new/table" ||
			die "mcpbox-$service does not tell its settings"
		sed -n 's/.*"name": *"\([A-Z0-9_]*\)".*/\1/p' "$app.new/table" >"$app.new/share/mcpbox/settings/$service"
	done
	rm -f "$app.new/table"
	"$app.new/libexec/mcpbox/mcpbox-registry" --version | awk '{ print $NF }' >"$app.new/share/mcpbox/version"
}
