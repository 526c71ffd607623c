/* Schemas of a source, from an executor; outside of any transaction, since it may take seconds. */
#pragma once

#include "work.h"

/* Sets w->inspected.  -ERR_UNAVAILABLE when no executor answers. */
int inspect_code(struct work *w, ProtobufCBinaryData code, struct err *err) BOX_MUST_CHECK;
/* The same, and the source must parse and define main: -ERR_INVALID says where it does not. */
int inspect_require_main(struct work *w, ProtobufCBinaryData code, struct err *err) BOX_MUST_CHECK;

/* The `warnings` of a reply, borrowed from what the executor saw. */
#define INSPECT_FILL_WARNINGS(reply, seen)               \
	do {                                             \
		(reply).warnings = (seen)->warnings;     \
		(reply).n_warnings = (seen)->n_warnings; \
	} while (0)
