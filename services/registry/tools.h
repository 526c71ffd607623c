/* Tools: a head that its author edits, a live version that runs. */
#pragma once

#include "work.h"

/* id: a tool's id, or "server/tool".  lock: hold the tool until the end of the transaction. */
int tool_load(struct work *w, const char *id, bool lock, PB(Tool) * *ret, struct err *err);

/* All limits in force, for people, from those that a version sets. */
ProtobufCBinaryData tool_limits_shown(struct work *w, ProtobufCBinaryData set);

/* What `change` brings becomes the tool's next version and its head.  The tool's approval follows: a draft stays
 * a draft; the head of a live tool is a draft beside it, or approved at once under the automatic policy.
 * Saves the tool.  source: manual, rollback. */
int tool_add_version(struct work *w, PB(Tool) * tool, ROW(VersionRow) * change, const char *source,
		     const char *summary, struct err *err);

/* ---- parts of making one ---- */

/* Texts, code, limits and schemas, as the contract has them.  The code itself is inspect.h's. */
int tool_check_new(const PB(CreateToolRequest) * in, struct err *err);
/* Its content; what the request leaves open comes from w->inspected. */
void tool_version_of_new(struct work *w, const PB(CreateToolRequest) * in, ROW(VersionRow) * v);
/* Chooses the published name and makes the row.  Its versions are stored next. */
int tool_insert(struct work *w, const PB(Server) * server, PB(Tool) * tool, struct err *err);
/* As tool->current_version, by whoever asks.  source: manual, import, rollback. */
int tool_store_version(struct work *w, PB(Tool) * tool, ROW(VersionRow) * v, const char *source,
		       const char *summary);
