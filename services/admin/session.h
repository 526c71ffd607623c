/*
 * The credential that a request presents: a bearer token, else the session cookie.  Whether it is
 * any good is the registry's to say.  Reading is pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "attrs.h"
#include "err.h"

#define SESSION_COOKIE    "mcpbox_session"
#define SESSION_TOKEN_MAX 512

struct session {
	char token[SESSION_TOKEN_MAX + 1]; /* "" when none was presented */
	bool is_cookie; /* sent by the browser on its own: needs a CSRF token to change things */
};

/* Values of the headers, NULL where absent.  -ERR_UNAUTHENTICATED for an Authorization of another
 * shape. */
int session_read(const char *authorization, const char *cookie, struct session *ret,
		 struct err *err) BOX_MUST_CHECK;
/* Value of Set-Cookie that keeps the token for so long; max_age 0 and "" forget it.  Heap. */
char *session_set_cookie(const char *token, unsigned max_age_s) BOX_MUST_CHECK;
