/* Schemas of a source, from an executor; outside of any transaction, since it may take seconds. */
#pragma once

#include "work.h"

/* What is to be looked at; without bytes: it is not. */
struct inspect_what {
	ProtobufCBinaryData code;
	ProtobufCBinaryData input_schema, output_schema; /* of the author's own: JSON objects */
};

/* Sets w->inspected.  -ERR_INVALID when Python cannot read it at all, -ERR_BUSY when this author or all together have
 * too much checked at once, -ERR_UNAVAILABLE when no executor answers. */
int inspect_code(struct work *w, const struct inspect_what *what, struct err *err) BOX_MUST_CHECK;
/* The same, and the source must parse and define main, schemas must be such: -ERR_INVALID names the
 * field and says what is wrong. */
int inspect_require_sound(struct work *w, const struct inspect_what *what,
			  struct err *err) BOX_MUST_CHECK;

/* The `warnings` of a reply, borrowed from what the executor saw. */
#define INSPECT_FILL_WARNINGS(reply, seen)               \
	do {                                             \
		(reply).warnings = (seen)->warnings;     \
		(reply).n_warnings = (seen)->n_warnings; \
	} while (0)
