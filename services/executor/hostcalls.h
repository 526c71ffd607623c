/*
 * What a call process may ask its executor for, over the stream at its descriptor 4: frames of u32
 * little-endian length + one JSON object.  This is the parser; the bytes are hostile.  Pure;
 * fuzzed.
 *
 *	{"op":"open"}                          a stream to the egress-proxy
 *	{"op":"progress","event":{...}}        progress, total, message
 *	{"op":"log","event":{...}}             level, data
 *	{"op":"refused","event":{...}}         kind, name, line: what the code asked for in vain
 */
#pragma once

#include <stddef.h>
#include "attrs.h"
#include "buf.h"
#include "json.h"

#define HOSTCALL_MAX (64u * 1024)

enum hostcall_op { HOSTCALL_OPEN, HOSTCALL_PROGRESS, HOSTCALL_LOG, HOSTCALL_REFUSED };

struct hostcall {
	enum hostcall_op op;
	struct json_span event;      /* into the bytes given */
	struct json_span level;      /* LOG: raw JSON string */
	struct json_span kind, name; /* REFUSED: raw JSON strings */
	struct json_span line;       /* REFUSED: a number, or none */
};

/*
 * Judges the front of what arrived so far.  Returns the bytes used by one frame, filled into ret; 0
 * when more is needed; -ERR_INVALID when the sender broke the rules (it may then be cut off).
 */
long hostcall_take(const uint8_t *data, size_t len, struct hostcall *ret) BOX_MUST_CHECK;
