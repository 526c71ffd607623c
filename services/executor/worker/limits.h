/* Resource limits of one call. */
#pragma once

#include <stdbool.h>
#include "../wire.h"

struct limits_base {
	uint64_t data_bytes; /* what the zygote itself holds: a call's limits count from there */
	uint64_t address_bytes;
	uint32_t nproc; /* where user namespaces give no count of their own; else 0 */
};

/* Default stack and arenas for threads to come; call before threads and before Python. */
void limits_prepare_process(void);
/* The process' own sizes.  Opened while /proc is there (returns a descriptor or -errno), read when
 * everything is loaded. */
int limits_open_base(void);
int limits_read_base(int fd, struct limits_base *ret);
/* Sets all of them, hard = soft.  Returns 0 or -errno. */
int limits_apply(const struct wire_job *job, const struct limits_base *base);
