/*
 * JSON-RPC 2.0 as MCP uses it: bytes <-> messages.  Pure: no I/O, no clock; fuzzed.
 *
 * No tree is built.  A parsed message points into the caller's text, so ids and progress tokens
 * stay the tokens that the client wrote (13 digits, integers beyond 2^53, escapes in strings) and
 * are echoed byte for byte.  The text must outlive the message.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "attrs.h"
#include "buf.h"
#include "json.h"

enum jsonrpc_code {
	RPC_PARSE_ERROR = -32700,
	RPC_INVALID_REQUEST = -32600,
	RPC_NO_METHOD = -32601,
	RPC_INVALID_PARAMS = -32602,
	RPC_INTERNAL = -32603,
	RPC_BAD_SESSION = -32000,         /* legacy habit: bad request, missing session, 405, 406 */
	RPC_NO_SESSION = -32001,          /* legacy habit: session not found */
	RPC_HEADER_MISMATCH = -32020,     /* modern */
	RPC_MISSING_CAPABILITY = -32021,  /* modern */
	RPC_UNSUPPORTED_VERSION = -32022, /* modern */
};

/* An answer that is an error: HTTP status, JSON-RPC code, text; data is one JSON value or "". */
struct rpc_error {
	int status;
	int code;
	char text[320];
	char data[512];
};
void rpc_error_set(struct rpc_error *e, int status, int code, const char *fmt, ...)
	BOX_PRINTF(4, 5);
/* Fill e and give -1, so that it can stand in a return statement. */
#define rpc_fail(e, ...) (rpc_error_set((e), __VA_ARGS__), -1)

enum jsonrpc_kind { JSONRPC_REQUEST, JSONRPC_NOTIFICATION, JSONRPC_RESPONSE };

struct jsonrpc_message {
	enum jsonrpc_kind kind;
	struct json_span id;     /* the token as written; at is NULL when there is none */
	struct json_span params; /* an object, or at is NULL */
	char *method;            /* heap; NULL in a response */
};

/* Is it one JSON value in UTF-8 within the depth ceiling?  0, or -1 with 400 / -32700. */
int jsonrpc_check_text(const void *text, size_t len, struct rpc_error *err) BOX_MUST_CHECK;
/* After jsonrpc_check_text: is the value an array? */
bool jsonrpc_is_batch(struct json_span text);

/*
 * One message.  0, or -1 with 400 / -32600.  ret is always valid and must go to
 * jsonrpc_message_done(); after a failure ret->id is set when it was readable.
 */
int jsonrpc_parse(struct json_span text, struct jsonrpc_message *ret,
		  struct rpc_error *err) BOX_MUST_CHECK;
void jsonrpc_message_done(struct jsonrpc_message *m);

/* The elements of an array that passed jsonrpc_check_text.  -1 with 400 / -32600 above max. */
int jsonrpc_split(struct json_span array, struct json_span *ret, size_t max, size_t *ret_count,
		  struct rpc_error *err) BOX_MUST_CHECK;

/* String or integer, as ids and progress tokens must be. */
bool jsonrpc_is_id(struct json_span token);
bool json_span_is_object(struct json_span s);
bool json_span_is_string(struct json_span s);
/* The whole of s, a C string, equals the JSON string in span. */
bool json_span_equals(struct json_span span, const char *s);

void jsonrpc_add_result(struct buf *b, struct json_span id, const void *result, size_t len);
void jsonrpc_add_error(struct buf *b, struct json_span id, const struct rpc_error *err);
