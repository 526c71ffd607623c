/*
 * Puts the values of secrets in the place of placeholders in a request: header values (also inside of Basic), path,
 * query, form and JSON bodies, each written as that place writes it.  Only a placeholder of this very call stands for
 * anything; any other is left as it is and counted.  One that may not go where it stands refuses the whole request, so
 * that no host ever learns a placeholder that works.  Pure; fuzzed.
 */
#pragma once

#include <stddef.h>
#include "attrs.h"
#include "buf.h"
#include "delivery.h"
#include "err.h"
#include "forward.h"
#include "headers.h"
#include "secret.h"

enum inject_place {
	PLACE_HEADER = 1u << 0,
	PLACE_QUERY = 1u << 1,
	PLACE_PATH = 1u << 2,
	PLACE_BODY = 1u << 3,
};
unsigned inject_place_of(const char *name); /* "header"; 0: no such place */

#define INJECT_PLACEHOLDERS 2 /* of this call, and of calls in processes that serve many */
#define INJECT_PATH_MAX     (64u * 1024)

struct inject_secret {
	const char *key; /* borrowed */
	char placeholders[INJECT_PLACEHOLDERS][PLACEHOLDER_LEN + 1];
	unsigned places;
	bool is_bound; /* to the host of this request, and over a connection that may carry it */
	const struct secret *value; /* borrowed; UTF-8; NULL only when not bound */
};

/* What goes out instead.  Holds values: injected_done() wipes. */
struct injected {
	bool is_changed;        /* else the request goes out as it came, and the rest is empty */
	struct headers headers; /* all of them */
	char *path;             /* heap */
	struct buf body;
	bool has_body;    /* body stands for the request's */
	bool *used;       /* heap; one for each secret */
	unsigned unknown; /* placeholders that stand for nothing */
};

/* Does anything in there begin like a placeholder?  Cheap; false: no secret need be opened. */
bool inject_is_needed(const struct forward_request *rq, const void *body, size_t body_len);
/*
 * rq, body: borrowed.  body_max: how large the body may become.
 * -ERR_DENIED: a placeholder stands where its secret may not go; -ERR_INVALID: its value cannot be written there;
 * -ERR_TOO_LARGE.  ret needs injected_done() in every case.
 */
int inject(const struct inject_secret *secrets, size_t count, const struct forward_request *rq,
	   const void *body, size_t body_len, size_t body_max, struct injected *ret,
	   struct err *err) BOX_MUST_CHECK;
void injected_done(struct injected *i);
