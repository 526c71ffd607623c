/* What came in as JSON goes out as JSON and comes in again as the same bytes. */
#include <stdint.h>
#include <string.h>
#include "json_proto.h"
#include "mem.h"
#include "msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const ProtobufCMessageDescriptor *const types[] = {
	&mcpbox__v1__create_tool_request__descriptor,
	&mcpbox__v1__update_server_request__descriptor,
	&mcpbox__v1__status__descriptor,
	&mcpbox__v1__permit__descriptor,
	&mcpbox__v1__grant__descriptor,
};

static void check_round(const ProtobufCMessageDescriptor *type, const ProtobufCMessage *m)
{
	struct buf text BOX_CLEANUP(buf_done) = BUF_INIT(1 << 22);
	BOX_CLEANUP(msg_freep) ProtobufCMessage *again = NULL;
	BOX_CLEANUP(mem_freep) uint8_t *a = NULL;
	BOX_CLEANUP(mem_freep) uint8_t *b = NULL;
	size_t a_len, b_len;

	msg_to_json(m, 0, &text);
	box_assert(json_scan(text.data, text.len, NULL) == 0);
	box_assert(json_to_msg(type, buf_str(&text), text.len, NULL, &again, NULL) == 0);
	a = msg_pack(m, &a_len);
	b = msg_pack(again, &b_len);
	box_assert(a_len == b_len && memcmp(a, b, a_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
		struct err err = { 0 };

		if (json_to_msg(types[i], (const char *)data, len, NULL, &m, &err) == 0)
			check_round(types[i], m);
	}
	return 0;
}
