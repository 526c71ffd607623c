/* What tool code may read: one table, used for the mount tree and for Landlock alike. */
#pragma once

#include <stddef.h>
#include "../wire.h"

#define PATHS_MAX 48

enum path_kind {
	PATH_DIR,    /* read files and list directories beneath */
	PATH_FILE,   /* read this file */
	PATH_DEVICE, /* read and write this device node */
};

struct path_row {
	const char *path; /* absolute */
	enum path_kind kind;
};

struct paths {
	struct path_row rows[PATHS_MAX];
	size_t count;
	char module_dirs[WIRE_PATHS_MAX]; /* the rows' own copy, cut into C strings */
};

/* The fixed rows that exist on this host, the runtime and the module directories of config. */
void paths_collect(const struct wire_config *config, struct paths *ret);
