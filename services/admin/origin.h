/*
 * May this request come from the page it comes from?  Stops DNS rebinding (a foreign name that
 * resolves to our address: Host) and cross-site requests (Origin, Sec-Fetch-Site).  Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "attrs.h"
#include "err.h"

struct origin_names {
	char **names; /* lower case, without port */
	size_t count;
};
/* 127.0.0.1, localhost, listen_host unless it is a wildcard, and the comma-separated `more`. */
int origin_names_init(struct origin_names *n, const char *listen_host, const char *more,
		      struct err *err) BOX_MUST_CHECK;
void origin_names_done(struct origin_names *n);

struct origin_facts {
	const char *method;
	const char *host; /* header values; NULL where absent */
	const char *origin;
	const char *fetch_site;
};
/* 0, or -ERR_DENIED with the reason. */
int origin_check(const struct origin_names *n, const struct origin_facts *facts,
		 struct err *err) BOX_MUST_CHECK;

/* GET, HEAD, OPTIONS change nothing. */
bool origin_method_is_safe(const char *method);
