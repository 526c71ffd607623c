/* Resource limits of one call. */
#pragma once

#include <stdbool.h>
#include "../wire.h"

struct limits_base {
	uint64_t data_bytes; /* what the zygote itself holds: a call's limits count from there */
	uint64_t address_bytes;
	uint32_t threads;
};

/* Default stack and arenas for threads to come; call before threads and before Python. */
void limits_prepare_process(void);
/* The process' own sizes.  Opened while /proc is there (returns a descriptor or -errno), read
 * whenever wanted. */
int limits_open_base(void);
int limits_read_base(int fd, struct limits_base *ret);
/* For the zygote: bounds what importing and compiling may take, and sets what its calls inherit.
 * has_own_count: a user namespace in which only it and its calls are counted. */
int limits_apply_zygote(const struct wire_tool *tool, const struct limits_base *base,
			bool has_own_count);
/* For a call process, hard = soft.  has_own_count: its own user namespace.  Both return 0 or
 * -errno. */
int limits_apply_call(const struct wire_tool *tool, const struct limits_base *base,
		      bool has_own_count);
