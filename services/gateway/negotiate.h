/*
 * What the client sends and takes: Content-Type and Accept.  Pure.
 */
#pragma once

#include <stdbool.h>

struct accepts {
	bool json;
	bool sse;
};

/* application/json, parameters allowed. */
bool negotiate_is_json(const char *content_type);
/* accept NULL: everything.  An entry with q=0 does not count. */
struct accepts negotiate_accept(const char *accept);
