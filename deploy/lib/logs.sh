# One stream of JSON lines.  What does not come as JSON (PostgreSQL, a crash message of libc) is wrapped.
# shellcheck shell=sh

# Reads what `tail -v` prints, whose headers tell which log comes next.  A wrapped line that has no time gets that
# of the line before it.
logs_wrap='
def wrap($name; $time): . as $line | (fromjson? | objects) // (
	($line | capture("^(?<day>[0-9-]{10}) (?<time>[0-9:.]+) UTC \\[(?<pid>[0-9]+)\\] (?<text>.*)")
	 | {time: (.day + "T" + .time + "Z"), level: "info", service: "postgres", instance: .pid,
	    event: "postgres.said", text: .text})
	// {time: $time, level: "info", service: ($name | sub("-[0-9]+$"; "")), instance: $name,
	    event: "service.said", text: $line});
foreach (inputs | select(. != "")) as $line ({name: "", times: {}};
	if $line | test("^==> .*[.]log <==$")
	then .name = ($line | sub("^.*/"; "") | sub("[.]log <==$"; "")) | .out = null
	else . as $s | .out = ($line | wrap($s.name; $s.times[$s.name])) | .times[.name] = .out.time end;
	.out // empty)'

command_logs() {
	follow=no
	service=
	for argument in "$@"; do
		case $argument in
		-f) follow=yes ;;
		-*) die_usage "logs: unknown option $argument" ;;
		*) service=$argument ;;
		esac
	done
	set -- "$data"/log/*/*.log
	[ -e "$1" ] || die "no logs under $data; start an instance with ./mcpbox up$at"
	names=$(basename -a -s .log "$@" | tr '\n' ' ')
	set -- "$data/log/$service"*/*.log
	[ -e "$1" ] || die_usage "there is no log of $service; there are: $names"
	if [ "$follow" = yes ]; then
		tail -v -n 20 -F "$@" 2>/dev/null | jq --unbuffered -nRc "$logs_wrap"
	else
		tail -v -n +1 "$@" | jq -nRc "$logs_wrap" | logs_sort
	fi
}

# By the time that each line has; a line without one stays with the line before it.
logs_sort() {
	jq -c -s 'def stamp: foreach .[] as $l (""; ($l.time // .); [., $l]); [stamp] | sort_by(.[0]) | .[][1]'
}
