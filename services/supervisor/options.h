/*
 * What one supervisor is told on its command line.  Strings are borrowed from argv.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct options {
	const char *name;    /* of the service: names its lock, state and log file */
	const char *run_dir; /* NAME.lock, NAME.state */
	const char *log_path;
	const char
		*env_path; /* lines NAME=value: the whole environment of the service, beside PATH */
	const char *tag;   /* written to the state file as it is: tells `up` what is running */
	int stop_signal;   /* asks the service to drain; SIGTERM unless told otherwise */
	bool ready_by_start; /* a program that does not know NOTIFY_FD is ready once it runs */
	int ready_ms;        /* longest time from start to READY=1 */
	int stop_ms;         /* longest drain before SIGKILL */
	size_t log_bytes;    /* size at which the log is rotated */
	char **program;      /* argv of the service, NULL-terminated */
};

/* Returns 0, or -1 after printing what is wrong and the usage. */
int options_parse(struct options *o, int argc, char **argv);
