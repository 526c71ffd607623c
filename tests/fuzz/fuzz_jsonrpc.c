/* Whatever bytes are posted: a verdict, and what is answered is JSON again with the id as it was. */
#include <stdint.h>
#include <string.h>
#include "err.h"
#include "jsonrpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_answer(struct json_span id)
{
	struct rpc_error err;
	struct buf b = BUF_INIT(1u << 20);

	rpc_error_set(&err, 400, RPC_INTERNAL, "x");
	jsonrpc_add_error(&b, id, &err);
	box_assert(json_scan(b.data, b.len, NULL) == 0);
	box_assert(!id.at || memmem(b.data, b.len, id.at, id.len));
	buf_done(&b);
}

static void check_message(struct json_span text)
{
	struct jsonrpc_message m;
	struct rpc_error err;

	if (jsonrpc_parse(text, &m, &err) == 0)
		box_assert((m.kind == JSONRPC_RESPONSE) == (m.method == NULL));
	else
		box_assert(err.status == 400 && err.code == RPC_INVALID_REQUEST);
	check_answer(m.id);
	jsonrpc_message_done(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct json_span text = { (const char *)data, len };
	struct json_span elements[16];
	struct rpc_error err;
	size_t count = 0;

	if (jsonrpc_check_text(data, len, &err) < 0)
		return 0;
	if (!jsonrpc_is_batch(text)) {
		check_message(text);
		return 0;
	}
	if (jsonrpc_split(text, elements, 16, &count, &err) < 0)
		return 0;
	for (size_t i = 0; i < count; i++) {
		box_assert(json_scan(elements[i].at, elements[i].len, NULL) == 0);
		check_message(elements[i]);
	}
	return 0;
}
