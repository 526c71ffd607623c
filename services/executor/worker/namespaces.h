/* The namespaces of a worker and the processes that hold them. */
#pragma once

#include <stdint.h>
#include "../wire.h"

/*
 * Enters what the host gives, less `without`; returns in a grandchild of the process that called
 * it:
 *
 *	the process that the supervisor started; waits; killed, it takes all of them along
 *	`- init, first of its pid namespace: serves scratch (scratch.h), ends with the zygote
 *	   `- the zygote: here this function returns
 *
 * *ret_in_force: bits of LAYER_NAMESPACES; 0 where the host lets no namespaces be made: then it
 * returns in the same process.  *ret_init: socket to init, or -1.  Returns 0, or -errno with
 * *ret_step naming what failed.
 *
 * The zygote must not have the number of a call process (its children): OpenSSL 3.0 notices a fork
 * by getpid().  As first of its namespace it would also be deaf to signals that have defaults.
 */
int namespaces_enter(uint32_t without, uint32_t *ret_in_force, int *ret_init,
		     const char **ret_step);

/* Writes text to the file.  Returns 0 or -errno. */
int write_file(const char *path, const char *text);
