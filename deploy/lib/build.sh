# From sources to $app.  Everything that runs comes from there: the clone may lie where no account can read.
# shellcheck shell=sh

# A tree can be built that has been built already, or that CMake has a recipe for.
build_check_preset() {
	case $1 in
	*[!a-z0-9-]* | '') ;;
	*)
		[ ! -e "$repo/build/$1/stage/.hash" ] || return 0
		! grep -q "\"name\": *\"$1\"" "$repo/CMakePresets.json" || return 0
		;;
	esac
	die_usage "--build wants a preset of CMakePresets.json, not '$1'"
}

# CMake refuses a tree that was configured where the clone lay before.
build_forget_moved() {
	home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$1/CMakeCache.txt" 2>/dev/null) || return 0
	if [ -n "$home" ] && ! [ "$home" -ef "$repo" ]; then
		say "$1 was configured for $home; building anew"
		rm -rf "$1"
	fi
}

# build_tree PRESET: does nothing quickly when no source has changed.
build_tree() {
	tree=$repo/build/$1
	if [ -e "$tree/stage/.hash" ] && [ ! -w "$tree" ]; then
		say "$repo/build may not be written by $(id -un): using what is built there"
		return 0
	fi
	build_forget_moved "$tree"
	[ -e "$tree/build.ninja" ] || (cd "$repo" && cmake --preset "$1" -DBOX_TESTS=OFF) >&2 ||
		die "cmake could not configure the build"
	build_log=$(mktemp)
	if ! cmake --build "$tree" >"$build_log" 2>&1; then
		tail -n 40 "$build_log" >&2
		rm -f "$build_log"
		die "the build failed"
	fi
	grep -q 'no work to do' "$build_log" && build_is_staged "$tree" || build_stage "$tree"
	rm -f "$build_log"
}

# False also when somebody else has built since.
build_is_staged() {
	[ -e "$1/stage/.hash" ] && [ -z "$(find "$1/bin" -newer "$1/stage/.hash" -print -quit)" ]
}

# What is installed, made in the build tree: an instance copies it only when its hash differs.
build_stage() {
	say "built"
	rm -rf "$1/stage"
	cmake --install "$1" --prefix "$1/stage" >/dev/null || die "the installation failed"
	build_describe "$1/stage"
	chmod -R u=rwX,go=rX "$1/stage"
	(cd "$1/stage" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum) >"$1/stage.hash"
	mv "$1/stage.hash" "$1/stage/.hash"
}

# Which settings each service knows: its own table says so.
build_describe() {
	mkdir -p "$1/share/mcpbox/settings"
	for service in registry gateway executor egress-proxy admin; do
		"$1/libexec/mcpbox/mcpbox-$service" --print-config-table >"$1/table" ||
			die "mcpbox-$service does not tell its settings"
		sed -n 's/.*"name": *"\([A-Z0-9_]*\)".*/\1/p' "$1/table" >"$1/share/mcpbox/settings/$service"
	done
	rm -f "$1/table"
	# Files of migrations are 0001_name.sql; they are compiled into the registry.
	ls "$repo/services/registry/migrations" | sed -n 's/^0*\([0-9]*\)_.*/\1/p' | sort -n | tail -n 1 >"$1/share/mcpbox/schema"
	"$1/libexec/mcpbox/mcpbox-registry" --version | awk '{ print $NF }' >"$1/share/mcpbox/version"
}

# build_install PRESET: replaces $app as a whole.
build_install() {
	cmp -s "$repo/build/$1/stage/.hash" "$app/.hash" && return 0
	rm -rf "$app.new"
	cp -R "$repo/build/$1/stage" "$app.new"
	chmod -R u=rwX,go=rX "$app.new"
	rm -rf "$app"
	mv "$app.new" "$app"
}
