/*
 * Which era does a request belong to, and the checks of the modern one that need nothing but the
 * message and its headers (rows 1 to 5 and 8 of the order of checks).  Pure: no I/O, no state;
 * fuzzed. Nothing is remembered from the connection: every decision is made from the message
 * itself.
 */
#pragma once

#include <stdbool.h>
#include "attrs.h"
#include "jsonrpc.h"

#define MODERN_VERSION "2026-07-28"

enum era { ERA_LEGACY, ERA_MODERN };

/* Protocol versions, oldest first, so that they compare. */
enum mcp_version {
	MCP_NONE = 0,
	MCP_2024_11_05,
	MCP_2025_03_26,
	MCP_2025_06_18,
	MCP_2025_11_25,
	MCP_2026_07_28,
	MCP_VERSION_COUNT
};
#define MCP_LEGACY_NEWEST MCP_2025_11_25
const char *mcp_version_text(enum mcp_version v);
enum mcp_version mcp_version_legacy(
	const char *text); /* MCP_NONE unless a legacy version that is served */

/* Values as they came (NULL when absent); leading and trailing white space is ignored. */
struct mcp_headers {
	const char *protocol_version;
	const char *method;
	const char *name;
	const char *session_id;
};

/* params._meta, its members as they stand; at is NULL when absent. */
struct mcp_meta {
	bool is_object;
	struct json_span protocol_version;
	struct json_span client_capabilities;
	struct json_span client_info;
	struct json_span log_level;
	struct json_span progress_token;
	struct json_span traceparent;
};

enum log_severity { /* RFC 5424 order, as MCP names them */
		    SEVERITY_NONE = -1,
		    SEVERITY_DEBUG = 0,
		    SEVERITY_INFO,
		    SEVERITY_NOTICE,
		    SEVERITY_WARNING,
		    SEVERITY_ERROR,
		    SEVERITY_CRITICAL,
		    SEVERITY_ALERT,
		    SEVERITY_EMERGENCY,
		    SEVERITY_COUNT
};
const char *severity_text(enum log_severity s);
/* SEVERITY_NONE when it is not one of the eight, or no string. */
enum log_severity severity_parse(struct json_span value);

/* Read params._meta (both absent: all members absent).  -1 with 400 / -32602 when a member occurs
 * twice. */
int era_read_meta(struct json_span params, struct mcp_meta *ret,
		  struct rpc_error *err) BOX_MUST_CHECK;

/* Does the header value name 2026-07-28 or a later date? */
bool era_is_modern_version(const char *header);

/* The table "Which era is this request?" from its fourth row on, for one message that is no
 * response. */
int era_decide(const struct jsonrpc_message *m, const struct mcp_meta *meta,
	       const struct mcp_headers *headers, enum era *ret,
	       struct rpc_error *err) BOX_MUST_CHECK;

/* Rows 1 to 5 for a modern request.  0, or -1 with the row's status and code. */
int era_check_modern(const struct jsonrpc_message *m, const struct mcp_meta *meta,
		     const struct mcp_headers *headers, struct rpc_error *err) BOX_MUST_CHECK;

/* Value of Mcp-Name or Mcp-Param-*: trimmed, base64 form decoded.  Heap C string.  -ERR_INVALID. */
int era_decode_header(const char *value, char **ret) BOX_MUST_CHECK;
