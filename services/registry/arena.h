/*
 * Memory of one request: everything that answering it needs is taken from here and freed at once.
 * So a row read from the database, a text made for the reply and the reply's arrays have one owner,
 * and no path through a handler can forget one.  Not thread-safe: an arena belongs to its request.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include "attrs.h"

struct arena {
	struct arena_chunk *chunks;
	size_t used, cap; /* of the newest chunk */
};

void arena_done(struct arena *a);                /* frees all; the arena is empty after */
void *arena_alloc(struct arena *a, size_t size); /* zeroed, aligned for any type */
void *arena_array(struct arena *a, size_t count, size_t size);
void *arena_pointers(struct arena *a, size_t count);            /* an array of NULL pointers */
void *arena_dup(struct arena *a, const void *data, size_t len); /* a NUL follows the copy */
char *arena_str(struct arena *a, const char *s);                /* NULL stays NULL */
char *arena_printf(struct arena *a, const char *fmt, ...) BOX_PRINTF(2, 3);
/* A message with its defaults. */
void *arena_msg(struct arena *a, const ProtobufCMessageDescriptor *type);
/* Unpack bytes that are known to be good; everything in the arena.  NULL when they are not. */
void *arena_unpack(struct arena *a, const ProtobufCMessageDescriptor *type, const void *data,
		   size_t len);
