/*
 * Life of a process: options, settings, log, signals, ready, run, drain, stop.
 *
 *	int main(int argc, char **argv)
 *	{
 *		struct registry reg = { 0 };
 *		int r = service_init(&reg.service, &registry_info, argc, argv, &reg.cfg);
 *		if (r == 0) r = registry_start(&reg);
 *		if (r == 0) r = service_run(&reg.service);   // ready ... SIGTERM ... returns
 *		registry_stop(&reg);
 *		return service_exit_code(r);
 *	}
 *
 * --print-config, --print-config-table, --version, --help are answered by service_init, which then exits.
 */
#pragma once

#include <stdbool.h>
#include "attrs.h"
#include "cfg.h"
#include "err.h"

struct service_info {
	const char *name; /* "registry" */
	const struct cfg_row *rows;
	size_t row_count;
	/*
	 * What a row cannot say of its value, NULL when there is nothing.  Asked after cfg_load, by --print-config
	 * too, so that `up` hears of it before it changes anything: it opens and keeps nothing.
	 */
	int (*judge)(const void *cfg, struct err *err);
};
struct service {
	const struct service_info *info;
	char instance[64]; /* "<name>-<8 hex>" */
	void *cfg;
};
/* Settings every service has (part of each table): CFG_LOG_LEVEL(struct x_cfg, log_level). */

/*
 * SIGTERM and SIGINT are blocked from here on in all threads (service_run waits for them), and SIGPIPE is
 * ignored: who starts children by exec restores both in between.
 */
int service_init(struct service *s, const struct service_info *info, int argc, char **argv,
		 void *cfg) BOX_MUST_CHECK;
/* Not dumpable, no core, no new privileges, umask 077; call before the first foreign byte. */
void service_harden(void);
/*
 * Landlock: from now on only these paths.  Arrays of paths, NULL-terminated; NULL array: none.  Libraries,
 * /etc resolver and TLS files, /dev/null, urandom are added here.  Returns 0 also when the kernel has no
 * Landlock (logged).  Sockets stay free.  Binds the calling thread and those it starts: call it before threads.
 * A file among read_only that may be executed stays executable.
 */
int service_confine(const char *const *read_only, const char *const *read_write,
		    struct err *err) BOX_MUST_CHECK;
/* Tells the supervisor and the log that we answer (writes READY=1 to the descriptor in NOTIFY_FD, if any);
 * waits for SIGTERM or SIGINT. */
int service_run(struct service *s) BOX_MUST_CHECK;
/* A part failed for good: ends service_run with an error. */
void service_fail(struct service *s);
int service_exit_code(int r);
