# One stream of JSON lines.  What does not come as JSON (PostgreSQL, a crash message of libc) is wrapped.
# shellcheck shell=sh

logs_wrap='. as $line | (fromjson? | objects) // (
	($line | capture("^(?<day>[0-9-]{10}) (?<time>[0-9:.]+) UTC \\[(?<pid>[0-9]+)\\] (?<text>.*)")
	 | {time: (.day + "T" + .time + "Z"), level: "info", service: "postgres", instance: .pid,
	    event: "postgres.said", text: .text})
	// {level: "info", service: "", event: "service.said", text: $line})'

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
	set -- "$data/log/$service"*.log
	[ -e "$1" ] || die "no log of ${service:-any service} under $data"
	if [ "$follow" = yes ]; then
		tail -q -n 20 -F "$@" 2>/dev/null | jq --unbuffered -Rc "$logs_wrap"
	else
		cat "$@" | jq -Rc "$logs_wrap" | logs_sort
	fi
}

# By the time that each line has; a line without one stays with the line before it.
logs_sort() {
	jq -c -s 'def stamp: foreach .[] as $l (""; ($l.time // .); [., $l]); [stamp] | sort_by(.[0]) | .[][1]'
}
