/* The big red switch: calls of one server, or of all, end and none begins until it is undone. */
#pragma once

#include "work.h"

/* -ERR_STATE when that server's tools may not be called; else nobody pauses until the transaction ends. */
int pause_check(struct work *w, const char *server_id, struct err *err) BOX_MUST_CHECK;
