/*
 * x-mcp-header: parameters of a tool that modern clients repeat as Mcp-Param-* headers.  Pure.
 * Found once, when the tool enters the map; compared at each modern call, before the tool starts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "attrs.h"
#include "json.h"
#include "jsonrpc.h"

struct param_headers; /* of one tool; immutable */

/* NULL when the schema annotates nothing, or not validly (such a tool is served without the
 * mirror). */
struct param_headers *param_headers_new(const char *schema, size_t len);
void param_headers_free(struct param_headers *p);

/* header(arg, "Mcp-Param-<x>") gives a header's value or NULL.  arguments: an object or absent. */
int param_headers_check(const struct param_headers *p, struct json_span arguments,
			const char *(*header)(void *arg, const char *name), void *arg,
			struct rpc_error *err) BOX_MUST_CHECK;
