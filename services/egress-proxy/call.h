/* On whose behalf a stream speaks: bound when it is opened, not changed by anything that follows.
 */
#pragma once

#include <stdint.h>
#include "grant.h"
#include "msg.h"

struct call {
	PB(OpenRequest) * open; /* call_id, tool_name, the signed permit */
	PB(Permit) * permit;    /* verified */
	struct grant *grant;
	uint64_t deadline_mono_ms;
};
void call_done(struct call *c);
