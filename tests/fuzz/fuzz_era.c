/* First line: three header values, separated by tabs; the rest: a message. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "era.h"
#include "err.h"
#include "mem.h"
#include "parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_header(const char *value)
{
	char *text = NULL;

	if (value && era_decode_header(value, &text) == 0)
		box_assert(text_is_utf8(text, strlen(text)));
	free(text);
}

static void check_message(struct json_span text, const struct mcp_headers *headers)
{
	struct jsonrpc_message m;
	struct mcp_meta meta;
	struct rpc_error err = { 0 };
	enum era era;

	if (jsonrpc_parse(text, &m, &err) == 0 && m.kind != JSONRPC_RESPONSE &&
	    era_read_meta(m.params, &meta, &err) == 0 &&
	    era_decide(&m, &meta, headers, &era, &err) == 0 && era == ERA_MODERN &&
	    era_check_modern(&m, &meta, headers, &err) == 0)
		box_assert(json_span_equals(meta.protocol_version, MODERN_VERSION));
	box_assert(!err.data[0] || json_scan(err.data, strlen(err.data), NULL) == 0);
	jsonrpc_message_done(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *end = memchr(data, '\n', len);
	size_t head = end ? (size_t)(end - data) : len;
	BOX_CLEANUP(mem_freep) char *line = mem_strndup((const char *)data, head);
	struct json_span text = { (const char *)data + head, len - head };
	char *rest = line;
	struct mcp_headers headers = { 0 };
	struct rpc_error err;

	headers.protocol_version = strsep(&rest, "\t");
	headers.method = strsep(&rest, "\t");
	headers.name = strsep(&rest, "\t");
	check_header(headers.protocol_version);
	check_header(headers.name);
	if (jsonrpc_check_text(text.at, text.len, &err) == 0)
		check_message(text, &headers);
	return 0;
}
