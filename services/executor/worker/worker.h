/* What the parts of the worker share: one struct, made by main.c, filled in the order of
 * confine_worker() and confine_tool(). */
#pragma once

#include <stdbool.h>
#include "../wire.h"
#include "landlock.h"
#include "limits.h"
#include "paths.h"
#include "scratch.h"
#include "seccomp.h"

#define CONTROL_FD 3 /* in the worker; given by the supervisor */

/* Descriptors of a call process; standard input is /dev/null, 1 and 2 are its output. */
enum call_fd { CALL_FD_RESULT = 3, CALL_FD_HOST = 4, CALL_FD_RULESET = 5, CALL_FD_END = 6 };

struct worker {
	int control;
	struct wire_config config;
	struct wire_tool tool; /* since TOOL */
	struct paths paths;
	uint32_t namespaces; /* those of LAYER_NAMESPACES that are in force */
	pid_t zygote;        /* own pid as the call processes' parent */
	int status_fd;       /* /proc/self/status, opened before /proc goes */
	int maps_fd;         /* of heap_open_maps() */
	struct limits_base base;
	struct landlock landlock;
	struct scratch scratch;
	bool has_scratch;
	bool has_call_namespaces; /* each call has a user namespace of its own */
	bool without_files; /* neither Landlock nor a root of its own: no system call takes a path */
	struct filter zygote_filter, call_filter;
};

/* Layers that this worker applies: LAYER_*. */
uint32_t worker_layers(const struct worker *w);
