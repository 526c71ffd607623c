/*
 * The system calls of a call process.  The program is built once with libseccomp (which allocates),
 * kept as an array, and loaded raw in each child with the child's own pid patched in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sock_filter;

struct filter {
	struct sock_filter *program;
	size_t count;
};

/* without_files: every system call that takes a path is refused (kernels without Landlock).
 * Returns 0 or -errno; *ret_what names the row that failed. */
int filter_build(bool without_files, struct filter *ret, const char **ret_what);
/* Loads it for the whole process.  Needs no_new_privs.  Changes the array in place: only in the
 * child. */
int filter_load(struct filter *s, pid_t own_pid);
