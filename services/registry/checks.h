/* What callers may set: texts, timeouts, limits, schemas.  Pure. */
#pragma once

#include <stdint.h>
#include "buf.h"
#include "err.h"
#include "msg.h"

enum {
	TEXT_MAX = 2000,   /* descriptions, reasons, notes */
	CODE_MAX = 100000, /* signs of Python source */
	SCHEMA_MAX = 256 * 1024,
	TIMEOUT_MIN_MS = 1000,
	TIMEOUT_MAX_MS = 300000,
	LIMITS_TEXT_MAX = 1024,
};

/* Lengths are in signs (code points), as people count. */
int check_text(const char *field, ProtobufCBinaryData text, size_t max,
	       struct err *err) BOX_MUST_CHECK;
/* One that must be there, at most TEXT_MAX. */
int check_reason(const char *field, ProtobufCBinaryData text, struct err *err) BOX_MUST_CHECK;
int check_code(const char *field, ProtobufCBinaryData code, struct err *err) BOX_MUST_CHECK;
int check_timeout(const char *field, uint32_t ms, struct err *err) BOX_MUST_CHECK;
/* A JSON object of known limits within their maxima; empty is fine. */
int check_limits(ProtobufCBinaryData json, struct err *err) BOX_MUST_CHECK;
/* A JSON object; `type` must be "object" when is_schema. */
int check_object(const char *field, ProtobufCBinaryData json, bool is_schema,
		 struct err *err) BOX_MUST_CHECK;
/* The limits of a call: given ones over the defaults.  json has passed check_limits. */
void limits_read(ProtobufCBinaryData json, PB(Limits) * ret);
/* All of them, as a JSON object: what holds, for people. */
void limits_show(ProtobufCBinaryData json, struct buf *ret);
/* The limits that `given` sets over those that `old` sets, in one order: the same limits give the same bytes.
 * Nothing when neither sets any.  Both have passed check_limits. */
void limits_merge(ProtobufCBinaryData old, ProtobufCBinaryData given, struct buf *ret);
