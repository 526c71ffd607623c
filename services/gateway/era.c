#include "era.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "err.h"
#include "mem.h"
#include "parse.h"

#define META_PREFIX "io.modelcontextprotocol/"

static const char *const version_texts[MCP_VERSION_COUNT] = {
	[MCP_NONE] = "",
	[MCP_2024_11_05] = "2024-11-05",
	[MCP_2025_03_26] = "2025-03-26",
	[MCP_2025_06_18] = "2025-06-18",
	[MCP_2025_11_25] = "2025-11-25",
	[MCP_2026_07_28] = MODERN_VERSION,
};

static const char *const severity_texts[SEVERITY_COUNT] = {
	"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency",
};

/* Which parameter a method's Mcp-Name repeats.  Whole, whatever of it this gateway serves. */
static const struct {
	const char *method, *param;
} named_methods[] = {
	{ "tools/call", "name" },  { "prompts/get", "name" },    { "resources/read", "uri" },
	{ "tasks/get", "taskId" }, { "tasks/update", "taskId" }, { "tasks/cancel", "taskId" },
};

const char *mcp_version_text(enum mcp_version v)
{
	return version_texts[v];
}

enum mcp_version mcp_version_legacy(const char *text)
{
	for (int v = MCP_2024_11_05; v <= MCP_LEGACY_NEWEST; v++) {
		if (strcmp(text, version_texts[v]) == 0)
			return (enum mcp_version)v;
	}
	return MCP_NONE;
}

const char *severity_text(enum log_severity s)
{
	return s == SEVERITY_NONE ? "" : severity_texts[s];
}

enum log_severity severity_parse(struct json_span value)
{
	for (int i = 0; i < SEVERITY_COUNT; i++) {
		if (json_span_equals(value, severity_texts[i]))
			return (enum log_severity)i;
	}
	return SEVERITY_NONE;
}

/* Copy of a header value without optional white space around it; NULL stays NULL. */
static char *trimmed(const char *value)
{
	size_t len;

	if (!value)
		return NULL;
	value += strspn(value, " \t");
	len = strlen(value);
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		len--;
	return mem_strndup(value, len);
}

int era_read_meta(struct json_span params, struct mcp_meta *ret, struct rpc_error *err)
{
	static const char *const param_names[] = { "_meta" };
	static const char *const meta_names[] = {
		META_PREFIX "protocolVersion",
		META_PREFIX "clientCapabilities",
		META_PREFIX "clientInfo",
		META_PREFIX "logLevel",
		"progressToken",
		"traceparent",
	};
	struct json_span meta[1];
	struct json_span m[ARRAY_LEN(meta_names)];
	struct err why = { 0 };

	*ret = (struct mcp_meta){ 0 };
	if (!params.at)
		return 0;
	if (json_scan_members(params.at, params.len, param_names, 1, meta, &why) < 0)
		return rpc_fail(err, 400, RPC_INVALID_PARAMS, "Invalid params: %s", why.text);
	if (!json_span_is_object(meta[0]))
		return 0;
	if (json_scan_members(meta[0].at, meta[0].len, meta_names, ARRAY_LEN(meta_names), m, &why) <
	    0)
		return rpc_fail(err, 400, RPC_INVALID_PARAMS, "Invalid params: _meta: %s",
				why.text);
	*ret = (struct mcp_meta){ true, m[0], m[1], m[2], m[3], m[4], m[5] };
	return 0;
}

static bool is_date(const char *s)
{
	static const char shape[] = "dddd-dd-dd";

	for (size_t i = 0; i < sizeof(shape) - 1; i++) {
		if (shape[i] == 'd' ? (s[i] < '0' || s[i] > '9') : s[i] != shape[i])
			return false;
	}
	return s[sizeof(shape) - 1] == '\0';
}

bool era_is_modern_version(const char *header)
{
	BOX_CLEANUP(mem_freep) char *value = trimmed(header);

	return value && is_date(value) && strcmp(value, MODERN_VERSION) >= 0;
}

static int fail_missing_meta(struct rpc_error *err)
{
	return rpc_fail(err, 400, RPC_INVALID_PARAMS,
			"Invalid params: params._meta must hold \"" META_PREFIX
			"protocolVersion\" (string) "
			"and \"" META_PREFIX "clientCapabilities\" (object)");
}

int era_decide(const struct jsonrpc_message *m, const struct mcp_meta *meta,
	       const struct mcp_headers *headers, enum era *ret, struct rpc_error *err)
{
	bool is_modern_header = era_is_modern_version(headers->protocol_version);

	*ret = ERA_LEGACY;
	if (meta->protocol_version.at || (m->kind == JSONRPC_NOTIFICATION && is_modern_header)) {
		*ret = ERA_MODERN;
		return 0;
	}
	if (m->kind != JSONRPC_REQUEST || !is_modern_header)
		return 0;
	if (strcmp(m->method, "initialize") == 0)
		return rpc_fail(err, 400, RPC_HEADER_MISMATCH,
				"Header mismatch: initialize belongs to the versions up to %s, the "
				"MCP-Protocol-Version header names a later one",
				version_texts[MCP_LEGACY_NEWEST]);
	return fail_missing_meta(err);
}

/* Row 1. */
static int check_meta(const struct mcp_meta *meta, struct rpc_error *err)
{
	static const char *const names[] = { "name", "version" };
	struct json_span info[2] = { { 0 } };

	if (!json_span_is_string(meta->protocol_version) ||
	    !json_span_is_object(meta->client_capabilities))
		return fail_missing_meta(err);
	if (!meta->client_info.at)
		return 0;
	if (json_span_is_object(meta->client_info) &&
	    json_scan_members(meta->client_info.at, meta->client_info.len, names, 2, info, NULL) ==
		    0 &&
	    json_span_is_string(info[0]) && json_span_is_string(info[1]))
		return 0;
	return rpc_fail(err, 400, RPC_INVALID_PARAMS,
			"Invalid params: \"" META_PREFIX
			"clientInfo\" must have the strings name and version");
}

static int fail_mismatch(struct rpc_error *err, const char *header, const char *why)
{
	return rpc_fail(err, 400, RPC_HEADER_MISMATCH, "Header mismatch: %s %s", header, why);
}

/* Row 2: a header that is there says the same as the body. */
static int check_repeated(const struct jsonrpc_message *m, const struct mcp_meta *meta,
			  const char *version, const char *method, struct rpc_error *err)
{
	if (version && !json_span_equals(meta->protocol_version, version))
		return fail_mismatch(err, "MCP-Protocol-Version",
				     "differs from the version in _meta");
	if (method && strcmp(method, m->method) != 0)
		return fail_mismatch(err, "Mcp-Method", "differs from the method in the body");
	return 0;
}

/* Row 3. */
static int check_version(const struct mcp_meta *meta, struct rpc_error *err)
{
	if (json_span_equals(meta->protocol_version, MODERN_VERSION))
		return 0;
	rpc_error_set(err, 400, RPC_UNSUPPORTED_VERSION, "Unsupported protocol version");
	/* A version is a date; what is far longer is not worth repeating. */
	if (meta->protocol_version.len < 200)
		(void)snprintf(err->data, sizeof(err->data),
			       "{\"supported\":[\"" MODERN_VERSION "\"],\"requested\":%.*s}",
			       (int)meta->protocol_version.len, meta->protocol_version.at);
	else
		(void)snprintf(err->data, sizeof(err->data),
			       "{\"supported\":[\"" MODERN_VERSION "\"],\"requested\":\"\"}");
	return -1;
}

/* Row 5. */
static int check_name(const struct jsonrpc_message *m, const char *header, const char *param,
		      struct rpc_error *err)
{
	BOX_CLEANUP(mem_freep) char *value = NULL;
	struct json_span body = { 0 };

	if (!header)
		return fail_mismatch(err, "Mcp-Name", "is missing");
	if (era_decode_header(header, &value) < 0)
		return fail_mismatch(err, "Mcp-Name", "is not validly encoded");
	if (m->params.at &&
	    json_scan_members(m->params.at, m->params.len, &param, 1, &body, NULL) < 0)
		return fail_mismatch(err, "Mcp-Name", "repeats a parameter that occurs twice");
	if (!json_span_equals(body, value))
		return fail_mismatch(err, "Mcp-Name", "differs from the body");
	return 0;
}

int era_check_modern(const struct jsonrpc_message *m, const struct mcp_meta *meta,
		     const struct mcp_headers *headers, struct rpc_error *err)
{
	BOX_CLEANUP(mem_freep) char *version = trimmed(headers->protocol_version);
	BOX_CLEANUP(mem_freep) char *method = trimmed(headers->method);

	if (check_meta(meta, err) < 0 || check_repeated(m, meta, version, method, err) < 0 ||
	    check_version(meta, err) < 0)
		return -1;
	if (!version)
		return fail_mismatch(err, "MCP-Protocol-Version", "is missing");
	if (!method)
		return fail_mismatch(err, "Mcp-Method", "is missing");
	for (size_t i = 0; i < ARRAY_LEN(named_methods); i++) {
		if (strcmp(m->method, named_methods[i].method) == 0)
			return check_name(m, headers->name, named_methods[i].param, err);
	}
	return 0;
}

#define ENCODED_PREFIX "=?base64?"
#define ENCODED_SUFFIX "?="

/* Standard alphabet and canonical padding: what encodes back to the same text. */
static int decode_base64(const char *text, size_t len, char **ret)
{
	BOX_CLEANUP(mem_freep) uint8_t *data = NULL;
	BOX_CLEANUP(mem_freep) char *again = NULL;
	size_t size = 0;

	if (parse_base64(text, len, &data, &size) < 0 || !text_is_utf8(data, size) ||
	    memchr(data, '\0', size))
		return -ERR_INVALID;
	again = format_base64(data, size);
	if (strlen(again) != len || memcmp(again, text, len) != 0)
		return -ERR_INVALID;
	*ret = mem_strndup((const char *)data, size);
	return 0;
}

int era_decode_header(const char *value, char **ret)
{
	const size_t prefix = sizeof(ENCODED_PREFIX) - 1, suffix = sizeof(ENCODED_SUFFIX) - 1;
	BOX_CLEANUP(mem_freep) char *text = trimmed(value);
	size_t len = strlen(text);

	if (len >= prefix + suffix && memcmp(text, ENCODED_PREFIX, prefix) == 0 &&
	    memcmp(text + len - suffix, ENCODED_SUFFIX, suffix) == 0)
		return decode_base64(text + prefix, len - prefix - suffix, ret);
	for (size_t i = 0; i < len; i++) {
		if (((unsigned char)text[i] < 0x20 && text[i] != '\t') ||
		    (unsigned char)text[i] > 0x7e)
			return -ERR_INVALID;
	}
	*ret = TAKE(text);
	return 0;
}
