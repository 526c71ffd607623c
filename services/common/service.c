#include "service.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto.h"
#include "json.h"
#include "log.h"
#include "parse.h"

static atomic_bool has_failed;

static void print_help(const struct service_info *info)
{
	(void)printf("usage: mcpbox-%s [option]\n"
		     "  --print-config        settings in force: name, value, meaning\n"
		     "  --print-config-table  the table of settings, one JSON object a line\n"
		     "  --version             version\n"
		     "  --help                this text\n"
		     "Settings are taken from the environment alone.\n",
		     info->name);
}

static const char *log_level_text(const struct service *s)
{
	for (size_t i = 0; i < s->info->row_count; i++)
		if (strcmp(s->info->rows[i].name, CFG_LOG_LEVEL_NAME) == 0)
			return *(char *const *)((const char *)s->cfg + s->info->rows[i].offset);
	return "info";
}

static int find_log_level(const struct service *s, enum log_level *ret)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	const char *text = log_level_text(s);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	(void)fprintf(stderr, CFG_LOG_LEVEL_NAME ": unknown level: %s\n", text);
	return -ERR_INVALID;
}

static int load_settings(const struct service *s, enum log_level *ret_level)
{
	struct err err = { 0 };
	int r = cfg_load(s->info->rows, s->info->row_count, s->cfg);

	if (r == 0)
		r = find_log_level(s, ret_level);
	if (r < 0 || !s->info->judge)
		return r;
	r = s->info->judge(s->cfg, &err);
	if (r < 0)
		(void)fprintf(stderr, "%s\n", err.text);
	err_done(&err);
	return r;
}

static void print_config(const struct service *s)
{
	enum log_level level;

	if (load_settings(s, &level) < 0)
		exit(EXIT_FAILURE);
	cfg_print(s->info->rows, s->info->row_count, s->cfg, stdout);
	cfg_free(s->info->rows, s->info->row_count, s->cfg);
}

/* An option asks for a text instead of a service, so each of them ends the process. */
static int answer_options(const struct service *s, int argc, char **argv)
{
	static const struct option options[] = { { "print-config", no_argument, NULL, 'c' },
						 { "print-config-table", no_argument, NULL, 't' },
						 { "version", no_argument, NULL, 'v' },
						 { "help", no_argument, NULL, 'h' },
						 { NULL, 0, NULL, 0 } };

	switch (getopt_long(argc, argv, "", options, NULL)) {
	case -1:
		break;
	case 'c':
		print_config(s);
		exit(EXIT_SUCCESS);
	case 't':
		cfg_print_table(s->info->rows, s->info->row_count, stdout);
		exit(EXIT_SUCCESS);
	case 'v':
		(void)printf("mcpbox-%s %s\n", s->info->name, BOX_VERSION);
		exit(EXIT_SUCCESS);
	case 'h':
		print_help(s->info);
		exit(EXIT_SUCCESS);
	default:
		return -ERR_INVALID;
	}
	if (optind == argc)
		return 0;
	(void)fprintf(stderr, "mcpbox-%s: unknown argument: %s\n", s->info->name, argv[optind]);
	return -ERR_INVALID;
}

static void end_signals(sigset_t *ret)
{
	(void)sigemptyset(ret);
	(void)sigaddset(ret, SIGTERM);
	(void)sigaddset(ret, SIGINT);
}

static void set_signals(void)
{
	sigset_t ends;

	end_signals(&ends);
	(void)pthread_sigmask(SIG_BLOCK, &ends, NULL);
	(void)signal(SIGPIPE, SIG_IGN); /* a gone peer is an error code of its write */
}

static void name_instance(struct service *s)
{
	uint8_t bytes[4];
	char hex[2 * sizeof(bytes) + 1];

	crypto_random(bytes, sizeof(bytes));
	format_hex(bytes, sizeof(bytes), hex);
	(void)snprintf(s->instance, sizeof(s->instance), "%s-%s", s->info->name, hex);
}

int service_init(struct service *s, const struct service_info *info, int argc, char **argv,
		 void *cfg)
{
	enum log_level level = LOG_INFO;
	int r;

	s->info = info;
	s->cfg = cfg;
	if (crypto_start() < 0)
		return -ERR_INTERNAL;
	r = answer_options(s, argc, argv);
	if (r == 0)
		r = load_settings(s, &level);
	if (r < 0)
		return r;
	name_instance(s);
	log_open(info->name, s->instance, level);
	json_start();
	set_signals();
	return 0;
}

void service_harden(void)
{
	const struct rlimit none = { 0, 0 };

	(void)umask(077);
	(void)setrlimit(RLIMIT_CORE, &none);
#ifndef BOX_SANITIZED /* the leak checker traces its own process at the end */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		log_warn("process.still_dumpable", F_ERRNO(errno));
#endif
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		box_bug("no_new_privs was refused");
}

static void tell_supervisor(void)
{
	const char *text = getenv("NOTIFY_FD");
	uint64_t fd;

	if (!text)
		return;
	if (parse_u64(text, 3, INT32_MAX, &fd) < 0 || write((int)fd, "READY=1\n", 8) != 8) {
		log_warn("process.notify_failed", F_STR("notify_fd", text));
		return;
	}
	(void)close((int)fd);
	(void)unsetenv("NOTIFY_FD");
}

int service_run(struct service *s)
{
	sigset_t ends;
	int signal_number = 0;

	end_signals(&ends);
	tell_supervisor();
	log_info("process.started", F_STR("name", s->info->name), F_STR("version", BOX_VERSION));
	while (sigwait(&ends, &signal_number) != 0)
		;
	log_info("process.stopping", F_STR("signal", sigabbrev_np(signal_number)));
	return atomic_load(&has_failed) ? -ERR_INTERNAL : 0;
}

void service_fail(struct service *s)
{
	log_error("process.failed", F_STR("part_of", s->info->name));
	atomic_store(&has_failed, true);
	(void)kill(getpid(), SIGTERM); /* blocked everywhere, so only service_run() sees it */
}

int service_exit_code(int r)
{
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
