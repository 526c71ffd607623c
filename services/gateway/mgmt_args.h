/* Are these the arguments that a management tool's schema describes?  Pure. */
#pragma once

#include "attrs.h"
#include "err.h"
#include "json.h"
#include "mgmt_table.h"

/*
 * arguments: the object as the client sent it.  -ERR_INVALID names the argument: one that the tool does not know,
 * one of another type, one that is required and absent, null or empty.  null stands for absent.
 */
int mgmt_args_check(const struct mgmt_param *params, struct json_span arguments,
		    struct err *err) BOX_MUST_CHECK;
