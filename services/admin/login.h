/*
 * The /auth routes that do more than ask: they keep and drop the session cookie.
 */
#pragma once

#include "api.h"

api_serve login_serve_tokens; /* login, refresh: the tokens, also as the cookie */
api_serve login_serve_logout;
api_serve login_serve_me; /* who is logged in, with the CSRF token of the session */

/* Tell the browser to drop its session cookie. */
void login_forget_cookie(struct call *call);
