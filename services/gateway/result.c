#include "result.h"

#include <string.h>
#include "err_json.h"
#include "json.h"
#include "mem.h"
#include "parse.h"

#define SERVER_INFO                                                       \
	"\"io.modelcontextprotocol/serverInfo\":{\"name\":\"" SERVER_NAME \
	"\",\"version\":\"" BOX_VERSION "\"}"
#define PART_MAX (8u * 1024 * 1024)

void result_add(struct buf *b, enum list_form form, const char *members, const char *meta)
{
	const char *separator = "";

	buf_add_char(b, '{');
	if (form == LIST_MODERN) {
		buf_add_str(b, "\"resultType\":\"complete\"");
		separator = ",";
	}
	if (members[0]) {
		buf_add_str(b, separator);
		buf_add_str(b, members);
		separator = ",";
	}
	if (form == LIST_MODERN) {
		buf_add_str(b, ",\"_meta\":{" SERVER_INFO);
		buf_add_str(b, meta[0] ? "," : "");
		buf_add_str(b, meta);
		buf_add_char(b, '}');
	} else if (meta[0]) {
		buf_add_str(b, separator);
		buf_add_str(b, "\"_meta\":{");
		buf_add_str(b, meta);
		buf_add_char(b, '}');
	}
	buf_add_char(b, '}');
}

void result_add_failure(struct buf *b, enum list_form form, const char *text, size_t len,
			const struct err *why)
{
	struct buf members = BUF_INIT(PART_MAX);
	struct buf meta = BUF_INIT(PART_MAX);

	buf_add_str(&members, "\"content\":[{\"type\":\"text\",\"text\":");
	json_add_string(&members, text, len);
	buf_add_str(&members, "}],\"isError\":true");
	if (why) {
		buf_add_str(&meta, "\"error\":{");
		err_add_members(&meta, why);
		buf_add_char(&meta, '}');
	}
	result_add(b, form, buf_str(&members), buf_str(&meta));
	buf_done(&members);
	buf_done(&meta);
}

static bool has_string(const json_t *block, const char *name)
{
	return json_is_string(json_object_get(block, name));
}

static bool has_base64(const json_t *block, const char *name)
{
	const json_t *value = json_object_get(block, name);
	BOX_CLEANUP(mem_freep) uint8_t *data = NULL;
	size_t len = 0;

	return json_is_string(value) &&
	       parse_base64(json_string_value(value), json_string_length(value), &data, &len) == 0;
}

static bool is_text(const json_t *block)
{
	return has_string(block, "text");
}

static bool is_media(const json_t *block)
{
	return has_base64(block, "data") && has_string(block, "mimeType");
}

static bool is_link(const json_t *block)
{
	return has_string(block, "uri") && has_string(block, "name");
}

static bool is_resource(const json_t *block)
{
	const json_t *resource = json_object_get(block, "resource");

	return has_string(resource, "uri") &&
	       (has_string(resource, "text") || has_base64(resource, "blob"));
}

static const struct {
	const char *type;
	bool (*is_valid)(const json_t *block);
} blocks[] = {
	{ "text", is_text },          { "image", is_media },       { "audio", is_media },
	{ "resource_link", is_link }, { "resource", is_resource },
};

static bool is_block(const json_t *block)
{
	const char *type = json_string_value(json_object_get(block, "type"));

	for (size_t i = 0; type && i < ARRAY_LEN(blocks); i++) {
		if (strcmp(type, blocks[i].type) == 0)
			return blocks[i].is_valid(block);
	}
	return false;
}

bool result_is_content(const void *json, size_t len)
{
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	const json_t *block;
	size_t i;

	if (json_load_with_nul(json, len, &tree, NULL) < 0 || !json_is_array(tree))
		return false;
	json_array_foreach(tree, i, block)
	{
		if (!is_block(block))
			return false;
	}
	return true;
}

/* Structured content in this form, if it has any. */
static void add_structured(struct buf *b, enum list_form form, const struct catalog_tool *tool,
			   ProtobufCBinaryData value)
{
	bool wraps;

	if (value.len == 0 || form == LIST_OLD)
		return;
	wraps = form == LIST_LEGACY &&
		(tool->has_output_schema ? tool->wraps_structured : value.data[0] != '{');
	buf_add_str(b, wraps ? ",\"structuredContent\":{\"result\":" : ",\"structuredContent\":");
	json_add_compact(b, value.data, value.len);
	buf_add_str(b, wraps ? "}" : "");
}

static void add_execution(struct buf *b, const PB(Done) * done)
{
	buf_add_str(b, "\"execution\":{\"stdout\":");
	json_add_string(b, done->stdout.data, done->stdout.len);
	buf_printf(b, ",\"duration_ms\":%u", done->duration_ms);
	if (done->error_detail_json.len > 0 &&
	    json_scan(done->error_detail_json.data, done->error_detail_json.len, NULL) == 0) {
		buf_add_str(b, ",\"error_detail\":");
		json_add_compact(b, done->error_detail_json.data, done->error_detail_json.len);
	}
	buf_add_char(b, '}');
}

void result_add_done(struct buf *b, enum list_form form, const struct catalog_tool *tool,
		     const PB(Done) * done)
{
	bool is_error = done->outcome != MCPBOX__V1__DONE__OUTCOME__OUTCOME_OK;
	struct buf members = BUF_INIT(PART_MAX);
	struct buf meta = BUF_INIT(PART_MAX);

	if (!result_is_content(done->content_json.data, done->content_json.len) ||
	    (done->structured_json.len > 0 &&
	     json_scan(done->structured_json.data, done->structured_json.len, NULL) < 0)) {
		static const char text[] = "The tool's result is not valid MCP content";

		result_add_failure(b, form, text, sizeof(text) - 1, NULL);
		return;
	}
	buf_add_str(&members, "\"content\":");
	json_add_compact(&members, done->content_json.data, done->content_json.len);
	if (!is_error)
		add_structured(&members, form, tool, done->structured_json);
	buf_add_str(&members, is_error ? ",\"isError\":true" : ",\"isError\":false");
	add_execution(&meta, done);
	result_add(b, form, buf_str(&members), buf_str(&meta));
	buf_done(&members);
	buf_done(&meta);
}
