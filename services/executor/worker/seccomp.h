/*
 * The system calls of tool code, in two filters that the kernel applies together: the zygote's,
 * loaded before it imports or compiles anything, allows what a call may do and besides what forking
 * and confining a call takes; the call's, small, loaded by each child as its last step, takes that
 * away again.  Both programs are built once with libseccomp (which allocates) from one table.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sock_filter;

struct filter {
	struct sock_filter *program;
	size_t count;
};

struct filter_options {
	bool without_files;   /* no system call takes a path: neither Landlock nor a root of its own
			      */
	bool without_changes; /* no root of its own: mode and times of no file are changed */
	bool without_signal;  /* nothing keeps signals of the zygote inside: none is sent at all */
};

/* Build from the main thread: the address of its stack becomes part of the program.  Return 0 or
 * -errno; *ret_what names the row that failed. */
int filter_build_zygote(const struct filter_options *o, struct filter *ret, const char **ret_what);
int filter_build_call(const struct filter_options *o, struct filter *ret, const char **ret_what);
/* Loads it for the whole process.  Needs no_new_privs.  Returns 0 or -errno. */
int filter_load(const struct filter *f);
/* The same for a call's, with the process' own pid in it.  Changes the array: only in the child. */
int filter_load_call(struct filter *f, pid_t own_pid);
