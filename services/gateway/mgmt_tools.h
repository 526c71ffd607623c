/*
 * The management tools mcpbox_*: a table over registry calls.  Arguments become the request
 * message, the reply becomes the result, both by field name (common/json_proto.h); an operation is
 * a row here.
 */
#pragma once

#include <stdbool.h>
#include "buf.h"
#include "catalog.h"
#include "mcp_methods.h"

struct mgmt_tool;

const struct mgmt_tool *mgmt_find(const char *name); /* NULL: none of that name */
/* Append their list entries "{...},{...}". */
void mgmt_list(enum list_form form, struct buf *ret);
/*
 * Append the result ({content,...}, isError for failures of any kind).  arguments: an object, or
 * absent. False: the client took the request back, nothing is to be answered.
 */
bool mgmt_call(const struct mgmt_tool *tool, const struct mcp_context *c,
	       struct json_span arguments, struct buf *ret);
