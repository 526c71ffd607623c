/*
 * What a result looks like in each era.  Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "buf.h"
#include "catalog.h"
#include "msg.h"

/*
 * Append {…}: members (text between the braces, may be ""), around it what the era asks for
 * (resultType, serverInfo).  meta: further members of _meta, may be "".
 */
void result_add(struct buf *b, enum list_form form, const char *members, const char *meta);

/* A failed call: the text for the model, and in `_meta.error` what refused it; why NULL: nothing did, the tool's own
 * doing. */
void result_add_failure(struct buf *b, enum list_form form, const char *text, size_t len,
			const struct err *why);

/*
 * What the executor answered.  tool: for the shape of structured content.  Content that is no list
 * of MCP content blocks is replaced by an error that says so: a tool is not trusted with the wire.
 */
void result_add_done(struct buf *b, enum list_form form, const struct catalog_tool *tool,
		     const PB(Done) * done);

/* Is it an array of content blocks with the members that their types need? */
bool result_is_content(const void *json, size_t len);

#define SERVER_NAME "mcpbox"
