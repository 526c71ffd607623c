/* Names of Python modules: what is allowed from the start, what one approval covers.  Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "arena.h"
#include "err.h"
#include "msg.h"

enum { MODULE_NAME_MAX = 100 };

/* Importable by a tool's own code without asking. */
extern const char *const default_modules[];
extern const size_t default_module_count;

/* The name without the space around it, in the arena: letters, digits and underscores in words joined by single
 * dots or hyphens.  NULL with err set when it is none; field names it there. */
char *module_name_read(struct arena *a, const char *field, ProtobufCBinaryData text,
		       struct err *err);
/* Does an approval of `approved` let code import what is asked for?  `a-b` covers a_b and a; `a.b.c` covers a. */
bool module_covers(const char *approved, const char *asked);
/* Is it, or the package that it lies in, importable without asking? */
bool module_is_default(const char *asked);
/* All that may be imported: the defaults, the approved names and those that they cover; sorted, each once. */
char **modules_allowed(struct arena *a, char *const *approved, size_t count, size_t *ret_count);
