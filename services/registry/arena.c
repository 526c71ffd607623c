#include "arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "err.h"
#include "mem.h"

struct arena_chunk {
	struct arena_chunk *next;
	max_align_t data[];
};

enum { CHUNK_SIZE = 16 * 1024 };

void arena_done(struct arena *a)
{
	struct arena_chunk *next;

	for (struct arena_chunk *c = a->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	*a = (struct arena){ 0 };
}

void *arena_alloc(struct arena *a, size_t size)
{
	size_t need = (size + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
	void *p;

	if (need < size)
		box_bug("arena: size overflow");
	if (!a->chunks || a->cap - a->used < need) {
		size_t cap = need > CHUNK_SIZE ? need : CHUNK_SIZE;
		struct arena_chunk *c = mem_alloc(sizeof(*c) + cap);

		c->next = a->chunks;
		a->chunks = c;
		a->used = 0;
		a->cap = cap;
	}
	p = (char *)a->chunks->data + a->used;
	a->used += need;
	return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		box_bug("arena: array overflow");
	return arena_alloc(a, count * size);
}

void *arena_pointers(struct arena *a, size_t count)
{
	return arena_array(a, count, sizeof(void *));
}

void *arena_dup(struct arena *a, const void *data, size_t len)
{
	char *p = arena_alloc(a, len + 1);

	if (len > 0)
		memcpy(p, data, len);
	return p;
}

char *arena_str(struct arena *a, const char *s)
{
	return s ? arena_dup(a, s, strlen(s)) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	int len;
	char *p;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0)
		box_bug("arena: bad format");
	p = arena_alloc(a, (size_t)len + 1);
	va_start(ap, fmt);
	(void)vsnprintf(p, (size_t)len + 1, fmt, ap);
	va_end(ap);
	return p;
}

void *arena_msg(struct arena *a, const ProtobufCMessageDescriptor *type)
{
	ProtobufCMessage *m = arena_alloc(a, type->sizeof_message);

	protobuf_c_message_init(type, m);
	return m;
}

static void *allocate(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void leave_to_arena(void *arena, void *p)
{
	(void)arena;
	(void)p;
}

void *arena_unpack(struct arena *a, const ProtobufCMessageDescriptor *type, const void *data,
		   size_t len)
{
	ProtobufCAllocator allocator = { allocate, leave_to_arena, a };

	return protobuf_c_message_unpack(type, &allocator, len, data);
}
