/* The walls of a sandbox by name: the floor an operator demands, the report that travels in the
 * lease.  Pure. */
#pragma once

#include <stdint.h>
#include "attrs.h"
#include "buf.h"
#include "err.h"
#include "wire.h"

/* "seccomp,landlock" -> a floor for layers_check.  -ERR_INVALID naming an unknown word. */
int layers_parse(const char *list, uint32_t *ret, struct err *err) BOX_MUST_CHECK;
/* What a host reached. */
struct layers {
	const struct wire_ready *ready;
	unsigned cgroup_version;   /* 0: none */
	const char *cgroup_reason; /* why none; "" or what the host lacks */
};
/* Does `reached` reach `floor`?  -ERR_UNSUPPORTED with a text that names what the host lacks and how
 * to give it. */
int layers_check(const struct layers *reached, uint32_t floor, struct err *err) BOX_MUST_CHECK;
/* {"seccomp":true,"landlock":7,"userns":true,...} appended; a number is a version. */
void layers_add_json(const struct layers *reached, struct buf *ret);
/* {"userns":"why the host lacks it and how it is given",...} appended: one for each layer that is not there.
 * Before the process confines itself. */
void layers_add_missing_json(const struct layers *reached, struct buf *ret);
