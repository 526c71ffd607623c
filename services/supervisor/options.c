#include "options.h"

#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPT_NAME = 1,
	OPT_RUN,
	OPT_LOG,
	OPT_ENV,
	OPT_TAG,
	OPT_STOP_SIGNAL,
	OPT_READY_BY_START,
	OPT_READY_MS,
	OPT_STOP_MS,
	OPT_LOG_BYTES,
};

static const struct option rows[] = {
	{ "name", required_argument, NULL, OPT_NAME },
	{ "run", required_argument, NULL, OPT_RUN },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "env", required_argument, NULL, OPT_ENV },
	{ "tag", required_argument, NULL, OPT_TAG },
	{ "stop-signal", required_argument, NULL, OPT_STOP_SIGNAL },
	{ "ready-by-start", no_argument, NULL, OPT_READY_BY_START },
	{ "ready-ms", required_argument, NULL, OPT_READY_MS },
	{ "stop-ms", required_argument, NULL, OPT_STOP_MS },
	{ "log-bytes", required_argument, NULL, OPT_LOG_BYTES },
	{ NULL, 0, NULL, 0 },
};

static int usage(void)
{
	(void)fputs(
		"usage: mcpbox-supervisor --name N --run DIR --log FILE --env FILE [--tag T]\n"
		"       [--stop-signal TERM|INT] [--ready-by-start] [--ready-ms N] [--stop-ms N]\n"
		"       [--log-bytes N] -- PROGRAM [ARGUMENT...]\n",
		stderr);
	return -1;
}

static int read_number(const char *text, long min, long *ret)
{
	char *end = NULL;
	long n = strtol(text, &end, 10);

	if (end == text || *end != '\0' || n < min || n > INT_MAX)
		return usage();
	*ret = n;
	return 0;
}

static int read_signal(const char *text, int *ret)
{
	if (strcmp(text, "TERM") == 0)
		*ret = SIGTERM;
	else if (strcmp(text, "INT") == 0)
		*ret = SIGINT;
	else
		return usage();
	return 0;
}

static int take_number(struct options *o, int option, const char *text)
{
	long n = 0;

	if (read_number(text, 1, &n) < 0)
		return -1;
	if (option == OPT_READY_MS)
		o->ready_ms = (int)n;
	else if (option == OPT_STOP_MS)
		o->stop_ms = (int)n;
	else
		o->log_bytes = (size_t)n;
	return 0;
}

static int take(struct options *o, int option, const char *text)
{
	switch (option) {
	case OPT_NAME:
		o->name = text;
		return 0;
	case OPT_RUN:
		o->run_dir = text;
		return 0;
	case OPT_LOG:
		o->log_path = text;
		return 0;
	case OPT_ENV:
		o->env_path = text;
		return 0;
	case OPT_TAG:
		o->tag = text;
		return 0;
	case OPT_STOP_SIGNAL:
		return read_signal(text, &o->stop_signal);
	case OPT_READY_BY_START:
		o->ready_by_start = true;
		return 0;
	case OPT_READY_MS:
	case OPT_STOP_MS:
	case OPT_LOG_BYTES:
		return take_number(o, option, text);
	default:
		return usage();
	}
}

static bool is_absolute(const char *path)
{
	return path && path[0] == '/';
}

int options_parse(struct options *o, int argc, char **argv)
{
	int option;

	*o = (struct options){ .tag = "",
			       .stop_signal = SIGTERM,
			       .ready_ms = 30000,
			       .stop_ms = 20000,
			       .log_bytes = 16U << 20 };
	while ((option = getopt_long(argc, argv, "+", rows, NULL)) != -1) {
		if (take(o, option, optarg) < 0)
			return -1;
	}
	o->program = argv + optind;
	/* Absolute, because the supervisor leaves the directory that it was called in. */
	if (!o->name || !is_absolute(o->run_dir) || !is_absolute(o->log_path) ||
	    !is_absolute(o->env_path) || !is_absolute(o->program[0]))
		return usage();
	return 0;
}
