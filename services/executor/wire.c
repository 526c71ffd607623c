#include "wire.h"

#include <stdbool.h>
#include <string.h>

enum field_type { FIELD_U32, FIELD_U64, FIELD_TEXT };

struct field {
	enum wire_kind kind;
	enum field_type type;
	size_t offset;
	size_t size; /* texts: room including the NUL */
};

#define U32(kind, member)                                                     \
	{                                                                     \
		(kind), FIELD_U32, offsetof(struct wire_message, u.member), 4 \
	}
#define U64(kind, member)                                                     \
	{                                                                     \
		(kind), FIELD_U64, offsetof(struct wire_message, u.member), 8 \
	}
#define TEXT(kind, member)                                                   \
	{                                                                    \
		(kind), FIELD_TEXT, offsetof(struct wire_message, u.member), \
			sizeof(((struct wire_message *)0)->u.member)         \
	}

/* The format: rows of one kind stand together, in the order of the bytes. */
static const struct field fields[] = {
	U32(WIRE_CONFIG, config.with_http),
	U32(WIRE_CONFIG, config.without),
	TEXT(WIRE_CONFIG, config.runtime_dir),
	TEXT(WIRE_CONFIG, config.module_dirs),
	U32(WIRE_TOOL, tool.flags),
	U32(WIRE_TOOL, tool.memory_mb),
	U32(WIRE_TOOL, tool.cpu_ms),
	U32(WIRE_TOOL, tool.files),
	U32(WIRE_TOOL, tool.threads),
	U32(WIRE_TOOL, tool.scratch_mb),
	U32(WIRE_TOOL, tool.shared_nproc),
	U64(WIRE_FORK, fork.number),
	U32(WIRE_READY, ready.layers),
	U32(WIRE_READY, ready.landlock_abi),
	U32(WIRE_READY, ready.base_kb),
	U32(WIRE_FAILED, failed.error_number),
	TEXT(WIRE_FAILED, failed.step),
	U32(WIRE_BOUND, bound.base_kb),
	U32(WIRE_BOUND, bound.bind_us),
	U64(WIRE_STARTED, started.number),
	U64(WIRE_ENDED, ended.number),
	U32(WIRE_ENDED, ended.how),
	U32(WIRE_ENDED, ended.code),
	U64(WIRE_ENDED, ended.cpu_us),
	U64(WIRE_ENDED, ended.memory_kb),
};
#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

static void put_uint(uint8_t **at, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		*(*at)++ = (uint8_t)(v >> (8 * i));
}

static uint64_t get_uint(const uint8_t *at, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)at[i] << (8 * i);
	return v;
}

static void pack_field(const struct field *f, const uint8_t *from, uint8_t **at)
{
	if (f->type == FIELD_TEXT) {
		size_t len = strnlen((const char *)from, f->size - 1);

		put_uint(at, len, 2);
		memcpy(*at, from, len);
		*at += len;
	} else if (f->type == FIELD_U64) {
		uint64_t v;

		memcpy(&v, from, sizeof(v));
		put_uint(at, v, 8);
	} else {
		uint32_t v;

		memcpy(&v, from, sizeof(v));
		put_uint(at, v, 4);
	}
}

size_t wire_pack(const struct wire_message *m, uint8_t *ret)
{
	uint8_t *at = ret;

	_Static_assert(sizeof(struct wire_message) < WIRE_PACKET_MAX, "a packet holds any message");
	if (m->kind <= 0 || m->kind >= WIRE_KIND_END)
		return 0;
	put_uint(&at, WIRE_VERSION, 1);
	put_uint(&at, (uint64_t)m->kind, 1);
	for (size_t i = 0; i < FIELD_COUNT; i++) {
		if (fields[i].kind == m->kind)
			pack_field(&fields[i], (const uint8_t *)m + fields[i].offset, &at);
	}
	return (size_t)(at - ret);
}

/* Takes one field from the front of [*at, end). */
static bool unpack_field(const struct field *f, const uint8_t **at, const uint8_t *end, uint8_t *to)
{
	size_t bytes = f->type == FIELD_U64 ? 8 : f->type == FIELD_U32 ? 4 : 2;
	uint64_t v;

	if ((size_t)(end - *at) < bytes)
		return false;
	v = get_uint(*at, bytes);
	*at += bytes;
	if (f->type == FIELD_U64) {
		memcpy(to, &v, sizeof(v));
	} else if (f->type == FIELD_U32) {
		uint32_t v32 = (uint32_t)v;

		memcpy(to, &v32, sizeof(v32));
	} else {
		if (v >= f->size || (size_t)(end - *at) < v || memchr(*at, 0, v))
			return false;
		memcpy(to, *at, v); /* the NUL is there: the struct was zeroed */
		*at += v;
	}
	return true;
}

int wire_unpack(const uint8_t *data, size_t len, struct wire_message *ret)
{
	const uint8_t *at = data + 2, *end = data + len;

	if (len < 2 || data[0] != WIRE_VERSION || data[1] == 0 || data[1] >= WIRE_KIND_END)
		return -1;
	memset(ret, 0, sizeof(*ret));
	ret->kind = (enum wire_kind)data[1];
	for (size_t i = 0; i < FIELD_COUNT; i++) {
		if (fields[i].kind == ret->kind &&
		    !unpack_field(&fields[i], &at, end, (uint8_t *)ret + fields[i].offset))
			return -1;
	}
	return at == end ? 0 : -1;
}
