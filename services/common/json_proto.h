/*
 * JSON <-> protobuf through the descriptors; rules in proto/README.md.  The front doors' only
 * converter: adding an operation adds no code here.  Needs 1 MiB of stack for deep messages.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include "attrs.h"
#include "buf.h"
#include "err.h"
#include "json.h"

/*
 * Object -> message on the heap (msg_free).  `text` is the JSON object (NULL/0: an empty one).
 * -ERR_INVALID naming the field for unknown keys, wrong types, out-of-range numbers, bad dates.
 * `ignore`: NULL-terminated list of keys to pass over, may be NULL.
 */
int json_to_msg(const ProtobufCMessageDescriptor *type, const char *text, size_t len,
		const char *const *ignore, ProtobufCMessage **ret, struct err *err) BOX_MUST_CHECK;
/* Set one scalar field of m from text as it stands in a path or query: used by REST for {id}, ?page=. */
int json_set_from_text(ProtobufCMessage *m, const char *key, const char *value,
		       struct err *err) BOX_MUST_CHECK;
/* Message -> JSON object, appended.  indent 0 = compact, 2 = as management tools print. */
void msg_to_json(const ProtobufCMessage *m, unsigned indent, struct buf *ret);
/* The JSON Schema (an object) of what msg_to_json() writes for messages of that type, appended. */
void msg_to_schema(const ProtobufCMessageDescriptor *type, struct buf *ret);
/* The schema of one field, where messages are described elsewhere: at refs and their short name.  is_input: as
 * json_to_msg() takes it. */
void msg_field_to_schema(const ProtobufCFieldDescriptor *fd, bool is_input, const char *refs,
			 struct buf *ret);
