/*
 * The interpreter's memory in pieces of 2 MiB, so that the kernel holds it in huge pages: fork then copies, and
 * the end of a process frees, one entry where there were 512.  Only for speed: where the kernel has no huge
 * pages all of it works as before.  One thread.
 */
#pragma once

#include <stddef.h>

/* Before Python starts. */
void heap_prepare(void);
/* An arena of Python's, or NULL without memory. */
void *heap_take(size_t size);
void heap_give_back(void *arena, size_t size);
/* The process' own mappings.  Opened while /proc is there (returns a descriptor or -1). */
int heap_open_maps(void);
/* In the zygote, when all is loaded: what comes later lies elsewhere.  Closes maps_fd. */
void heap_settle(int maps_fd);
