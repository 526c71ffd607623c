/*
 * Inside of the converter (json_proto.h), and for who describes what it does: a field's key and form in JSON, told by its name and type
 * (proto/README.md).  Pure.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include "attrs.h"
#include "err.h"

#define JSON_KEY_MAX 128

/* How a field looks in JSON, told by the end of its name. */
enum form { FORM_PLAIN, FORM_JSON, FORM_TIME, FORM_BASE64, FORM_HASH };

enum form json_form_of(const ProtobufCFieldDescriptor *fd);
void json_field_key(const ProtobufCFieldDescriptor *fd, char ret[JSON_KEY_MAX]);
const ProtobufCFieldDescriptor *json_find_field(const ProtobufCMessageDescriptor *type,
						const char *name);
/* PURPOSE_LIVE of enum Purpose is "live". */
void json_enum_text(const ProtobufCEnumDescriptor *type, const ProtobufCEnumValue *value,
		    char ret[JSON_KEY_MAX]);
/* Bytes of one value (or one element) in the generated struct. */
size_t json_value_size(const ProtobufCFieldDescriptor *fd);
bool json_is_oneof(const ProtobufCFieldDescriptor *fd);

/* json_set.c: set the value at p (a field or an element) from text, NUL-terminated behind len and decoded. */
int json_set_scalar(const ProtobufCFieldDescriptor *fd, void *p, const char *text, size_t len,
		    struct err *err) BOX_MUST_CHECK;
void json_mark_present(ProtobufCMessage *m, const ProtobufCFieldDescriptor *fd);
/* Refusals that name the field. */
int json_bad_value(struct err *err, const ProtobufCFieldDescriptor *fd, const char *expected);
int json_unknown_field(struct err *err, const char *name);
