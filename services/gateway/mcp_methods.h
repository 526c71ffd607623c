/*
 * The MCP methods as one table: name, eras, handler.  From a parsed message to the text of its
 * response; what HTTP does with it is endpoint.c's business.
 */
#pragma once

#include <stdbool.h>
#include "answer.h"
#include "catalog.h"
#include "era.h"
#include "gateway.h"
#include "jsonrpc.h"

/* One request on its way.  All borrowed. */
struct mcp_context {
	struct gateway *gw;
	struct http_request *rq;
	struct answer *answer;   /* NULL inside a batch */
	struct catalog *catalog; /* the snapshot this request sees */
	enum era era;
	enum list_form form;
	const struct caller *caller;
	const char *server;            /* of /mcp/<server>; NULL on /mcp */
	const struct session *session; /* legacy, after initialize */
	const struct jsonrpc_message *message;
	const struct mcp_meta *meta;
};

enum mcp_outcome {
	MCP_ANSWERED,  /* the response text is in the buffer */
	MCP_STREAMING, /* a stream was begun and outlives the request */
	MCP_SILENT,    /* the client took its request back */
};

/*
 * Run the request (rows 6 to 12 of the modern order of checks) and append its response.  ret_status
 * is for MCP_ANSWERED.
 */
enum mcp_outcome mcp_handle(struct mcp_context *c, struct buf *ret_body, int *ret_status);
/* calls_run() for this request's caller. */
int mcp_run_tool(const struct mcp_context *c, const struct catalog_tool *tool,
		 struct json_span arguments, bool is_test, ProtobufCMessage **ret,
		 struct err *err) BOX_MUST_CHECK;
/* A legacy notification; a modern one has no effect. */
void mcp_notified(struct gateway *gw, const struct session *session,
		  const struct jsonrpc_message *message);
