/* The first byte chooses the type, the rest is the wire.  What is unpacked packs again and stays
 * good. */
#include <stdint.h>
#include <string.h>
#include "err.h"
#include "json_proto.h"
#include "mem.h"
#include "msg.h"
#include "msg_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const ProtobufCMessageDescriptor *const types[] = {
	&mcpbox__v1__request__descriptor,
	&mcpbox__v1__reply__descriptor,
	&mcpbox__v1__server__descriptor,
	&mcpbox__v1__permit__descriptor,
	&mcpbox__v1__status__descriptor,
	&mcpbox__v1__execute_request__descriptor,
	&mcpbox__v1__ship_records_request__descriptor,
	&mcpbox__v1__grant__descriptor,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = NULL;
	BOX_CLEANUP(mem_freep) uint8_t *again = NULL;
	struct buf text BOX_CLEANUP(buf_done) = BUF_INIT(1 << 24);
	const ProtobufCMessageDescriptor *type;
	size_t again_len;

	if (len == 0)
		return 0;
	type = types[data[0] % ARRAY_LEN(types)];
	if (msg_unpack(type, data + 1, len - 1, &m) < 0)
		return 0;
	again = msg_pack(m, &again_len);
	box_assert(msg_check(type, again, again_len) == 0);
	msg_to_json(m, 2, &text);
	return 0;
}
