/*
 * Who may reach the endpoint through a browser: the Host and Origin headers against lists (DNS
 * rebinding). Pure.  Names are compared without regard to case; the port of Host is ignored.
 */
#pragma once

#include <stdbool.h>
#include "attrs.h"
#include "err.h"

struct origin_policy {
	bool is_loopback;    /* the listener is: origins of this machine are its own */
	const char *hosts;   /* further host names, comma-separated; may be NULL */
	const char *origins; /* further origins "https://app.example.com", comma-separated; may be
				NULL */
};

/* Host header: a loopback name or a configured one. */
bool origin_host_allowed(const struct origin_policy *p, const char *host);
/* Origin header; NULL (not a browser) is allowed.  host: the request's own Host header. */
bool origin_allowed(const struct origin_policy *p, const char *origin, const char *host);
/*
 * The list `origins` before it is used.  A browser sends http(s)://name[:port] and never more; any other entry
 * would be without effect, so -ERR_INVALID names it.  list may be NULL.
 */
int origin_list_check(const char *list, struct err *err) BOX_MUST_CHECK;
