/*
 * Error codes and texts.
 *
 * A fallible function returns int: 0, or a negative enum err_code.  Whoever can explain the failure to
 * a person also fills struct err, its last parameter.  The code says what to do, the text what to say.
 * Texts travel to strangers: no SQL, paths, inner addresses or secrets in them; those belong in the log.
 *
 * Any thread; a struct err belongs to its caller and needs no clean-up.
 */
#pragma once

#include <stdbool.h>
#include "attrs.h"

/* Wire values (common.proto, Error.code): never renumber. */
enum err_code {
	ERR_OK = 0,
	ERR_INVALID = 1, /* the request has another shape or a bad value */
	ERR_NOT_FOUND = 2,
	ERR_UNAUTHENTICATED = 3, /* no or bad credentials */
	ERR_DENIED = 4,          /* known, but not allowed */
	ERR_STATE = 5,           /* not in this state; text gives the current one */
	ERR_EXISTS = 6,          /* duplicate */
	ERR_STALE = 7,           /* revision or content hash moved on */
	ERR_TOO_LARGE = 8,
	ERR_RATE_LIMITED = 9,
	ERR_BUSY = 10,        /* full; nothing was started, try again */
	ERR_UNAVAILABLE = 11, /* a part that is needed does not answer; nothing was started */
	ERR_DEADLINE = 12,    /* the time is over; see text for whether it was started */
	ERR_CANCELLED = 13,
	ERR_UNKNOWN_OUTCOME = 14, /* sent, no answer: it may or may not have run */
	ERR_STALE_PEER = 15,  /* frame was for an earlier start of this process; nothing was done */
	ERR_UNSUPPORTED = 16, /* unknown message, unknown `needs` entry */
	ERR_INTERNAL = 17,    /* ours; details are in the log */
	ERR_CODE_COUNT
};

struct err {
	enum err_code code;
	char text[512];
	char field[64];
	char hint[256];
	char *current_json; /* only with ERR_STALE: heap, may be NULL; freed by err_done() */
};

/* What each code means outside: one row per code. */
struct err_row {
	const char *name; /* "not_found" */
	int http_status;
	int jsonrpc_code;
	const char *meaning;
};
const struct err_row *err_row(enum err_code code);

/* Fill err (may be NULL) and return -code, so that it can stand in a return statement. */
int(err_set)(struct err *err, enum err_code code, const char *fmt, ...) BOX_PRINTF(3, 4);
/* As err_set, naming the offending field and what to do next (either may be NULL). */
int(err_set_field)(struct err *err, enum err_code code, const char *field, const char *hint,
		   const char *fmt, ...) BOX_PRINTF(5, 6);
/* Compilers and analysers see across files that neither ever returns 0. */
#define err_set(err, code, ...)                             \
	({                                                  \
		const enum err_code code_ = (code);         \
		(void)(err_set)((err), code_, __VA_ARGS__); \
		-(int)code_;                                \
	})
#define err_set_field(err, code, field, hint, ...)                                 \
	({                                                                         \
		const enum err_code code_ = (code);                                \
		(void)(err_set_field)((err), code_, (field), (hint), __VA_ARGS__); \
		-(int)code_;                                                       \
	})
void err_done(struct err *err);

/* A bug of ours: logs the place and aborts.  Never compiled out. */
#define box_bug(...) box_bug_at(__FILE__, __LINE__, __VA_ARGS__)
#define box_assert(cond)                                        \
	do {                                                    \
		if (!(cond))                                    \
			box_bug("assertion failed: %s", #cond); \
	} while (0)
BOX_NORETURN void box_bug_at(const char *file, int line, const char *fmt, ...) BOX_PRINTF(3, 4);
