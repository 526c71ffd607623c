#include "msg.h"

#include <stdlib.h>
#include <string.h>
#include "attrs.h"
#include "err.h"
#include "mem.h"
#include "msg_check.h"

static const struct msg_row rows[] = {
#define X(number, name, request, reply)                          \
	{ (number), #name, &mcpbox__v1__##request##__descriptor, \
	  &mcpbox__v1__##reply##__descriptor },
	MSG_TABLE(X)
#undef X
};

const struct msg_row *msg_row(uint16_t number)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].number == number)
			return &rows[i];
	return NULL;
}

/*
 * Two bytes on the wire may become an object of a hundred, so a small frame could ask for much
 * memory.  Real messages stay below twelve times their size: a record of a call has many fields, few of
 * them filled.
 */
#define BUDGET_FACTOR 16
#define BUDGET_BASE   (64u * 1024)

struct budget {
	size_t left;
	bool is_over;
};

static void *budget_alloc(void *arg, size_t size)
{
	struct budget *b = arg;

	if (size > b->left) {
		b->is_over = true;
		return NULL;
	}
	b->left -= size;
	return malloc(size ? size : 1);
}

static void budget_free(void *arg, void *p)
{
	(void)arg;
	free(p);
}

int msg_unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t len,
	       ProtobufCMessage **ret)
{
	struct budget budget = { .left = len * BUDGET_FACTOR + BUDGET_BASE };
	ProtobufCAllocator allocator = { budget_alloc, budget_free, &budget };
	ProtobufCMessage *m;
	int r;

	if (len > MSG_MAX)
		return -ERR_TOO_LARGE;
	r = msg_check(type, data, len);
	if (r < 0)
		return r;
	m = protobuf_c_message_unpack(type, &allocator, len, len ? data : (const uint8_t *)"");
	if (!m)
		return budget.is_over ? -ERR_TOO_LARGE : -ERR_INVALID;
	*ret = m;
	return 0;
}

void msg_free(ProtobufCMessage *m)
{
	/* Memory of budget_alloc() is malloc's, so the default allocator gives it back. */
	if (m)
		protobuf_c_message_free_unpacked(m, NULL);
}

uint8_t *msg_pack(const ProtobufCMessage *m, size_t *ret_len)
{
	uint8_t *data = mem_alloc(protobuf_c_message_get_packed_size(m));

	*ret_len = protobuf_c_message_pack(m, data);
	return data;
}

ProtobufCBinaryData pb_text(const char *s)
{
	return pb_bytes(s, s ? strlen(s) : 0);
}
