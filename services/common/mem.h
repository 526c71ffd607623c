/*
 * Memory that aborts when there is none: for fixed, small sizes.  A size that comes from outside is
 * bounded first (ERR_TOO_LARGE), then allocated here.  Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include "attrs.h"
#include "cleanup.h"

void *mem_alloc(size_t size) BOX_MUST_CHECK;                     /* zeroed */
void *mem_alloc_array(size_t count, size_t size) BOX_MUST_CHECK; /* zeroed; overflow aborts */
/* The new part is not zeroed. */
void *mem_realloc_array(void *p, size_t count, size_t size) BOX_MUST_CHECK;
char *mem_strdup(const char *s) BOX_MUST_CHECK;
char *mem_strndup(const char *s, size_t len) BOX_MUST_CHECK; /* copies len bytes, adds NUL */
void *mem_dup(const void *p, size_t len) BOX_MUST_CHECK;     /* len 0: a valid pointer to nothing */
char *mem_printf(const char *fmt, ...) BOX_PRINTF(1, 2) BOX_MUST_CHECK;

static inline void mem_freep(void *pp)
{
	free(*(void **)pp);
}
