/*
 * Scope-bound clean-up.  A local that owns something gets its cleanup and its first value on the line
 * that declares it:
 *
 *	BOX_CLEANUP(mem_freep) char *name = NULL;
 *
 * TAKE(p) hands p to somebody else and leaves NULL behind.
 */
#pragma once

#define BOX_CLEANUP(fn) __attribute__((cleanup(fn)))

#define TAKE(p)                             \
	({                                  \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;                 \
		taken_;                     \
	})

/* Defines static inline fnp(T **) that calls fn(*p); for BOX_CLEANUP of pointers. */
#define BOX_DEFINE_CLEANUP(T, fn)      \
	static inline void fn##p(T *p) \
	{                              \
		if (*p)                \
			fn(*p);        \
	}

void fd_closep(int *fd); /* closes *fd when >= 0; in mem.c */
