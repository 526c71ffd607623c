/*
 * The secrets of one call: opened for it, given to its process when it starts, wiped when it ends.  A revealed value is
 * its text, of the others the process gets placeholders.  Not thread-safe.
 */
#pragma once

#include <stdbool.h>
#include "attrs.h"
#include "err.h"
#include "keys.h"
#include "mask.h"
#include "msg.h"
#include "secret.h"

struct secrets {
	struct secret *json; /* {"KEY":"text",...}; NULL: none */
	struct mask *mask;   /* of what was revealed; NULL: nothing is to be hidden */
};

/*
 * keys: the executor's; NULL: none are delivered here (tests).  is_warm: its process may serve another call after it,
 * so nothing may be revealed to it, whatever was signed.
 * -ERR_DENIED: nothing may be started.
 */
int secrets_open(const struct keys *keys, const PB(Grant) * grant, const char *call_id,
		 bool is_warm, struct secrets *ret, struct err *err) BOX_MUST_CHECK;
void secrets_done(struct secrets *s); /* wipes */
