/* What the parts of the worker share: one struct, made by main.c, filled in the order of
 * confine_worker(). */
#pragma once

#include <stdbool.h>
#include "../wire.h"
#include "landlock.h"
#include "limits.h"
#include "paths.h"
#include "seccomp.h"

#define CONTROL_FD 3 /* in the worker; given by the supervisor */

/* Descriptors of a call process. */
enum call_fd { CALL_FD_RESULT = 3, CALL_FD_HOST = 4, CALL_FD_PAYLOAD = 5, CALL_FD_END = 6 };

struct worker {
	int control;
	struct wire_config config;
	struct paths paths;
	bool has_namespaces;
	pid_t zygote;          /* own pid as the call processes' parent */
	int self_pidfd;        /* with namespaces: the way back to the own pid namespace */
	int statm_fd, task_fd; /* of /proc, opened before it goes */
	struct limits_base base;
	struct landlock landlock;
	bool without_files; /* neither Landlock nor a root of its own: no system call takes a path */
	struct filter filter;
};

/* Layers that this worker applies: LAYER_*. */
uint32_t worker_layers(const struct worker *w);
