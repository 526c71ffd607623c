/* What X on the command line means: a tool's id, server/tool, host:REQUEST_ID, module:REQUEST_ID. */
#pragma once

#include "ctl.h"

enum target_kind { TARGET_TOOL, TARGET_HOST, TARGET_MODULE };

struct target {
	enum target_kind kind;
	char id[64];
};

/* Asks the admin service where a name must be looked up.  -ERR_NOT_FOUND, -ERR_INVALID, or as
 * session_call. */
int find_target(const struct ctl *ctl, const char *x, struct target *ret,
		struct err *err) BOX_MUST_CHECK;
/* The id of the server with that id or name, as find_target. */
int find_server(const struct ctl *ctl, const char *x, char ret[64], struct err *err) BOX_MUST_CHECK;
