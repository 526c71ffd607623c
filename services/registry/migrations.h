/* The numbered SQL files of migrations/, compiled in.  Order: ascending; forward only. */
#pragma once

#include <stddef.h>

struct migration {
	int number;
	const char *name;
	const char *sql;
};
extern const struct migration migrations[];
extern const size_t migration_count;
