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
