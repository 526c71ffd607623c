/* Text -> one field of a message. */
#include "json_proto.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "json_field.h"
#include "mem.h"
#include "msg_check.h"
#include "parse.h"

int json_bad_value(struct err *err, const ProtobufCFieldDescriptor *fd, const char *expected)
{
	char key[JSON_KEY_MAX];

	json_field_key(fd, key);
	return err_set_field(err, ERR_INVALID, key, NULL, "'%s': %s", key, expected);
}

static int set_string(const ProtobufCFieldDescriptor *fd, void *p, const char *text, size_t len,
		      struct err *err)
{
	char **field = p;

	if (len > MSG_STRING_MAX)
		return json_bad_value(err, fd, "is too long");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return json_bad_value(err, fd, "holds control characters");
	if (!text_is_utf8(text, len))
		return json_bad_value(err, fd, "is not UTF-8");
	if (*field && *field != fd->default_value)
		free(*field);
	*field = mem_strndup(text, len);
	return 0;
}

static void replace_bytes(ProtobufCBinaryData *field, uint8_t *data, size_t len)
{
	free(field->data);
	field->data = data;
	field->len = len;
}

static int set_base64(const ProtobufCFieldDescriptor *fd, ProtobufCBinaryData *field,
		      const char *text, size_t len, struct err *err)
{
	uint8_t *data;
	size_t data_len;

	if (parse_base64(text, len, &data, &data_len) < 0)
		return json_bad_value(err, fd, "base64 is expected");
	replace_bytes(field, data, data_len);
	return 0;
}

static int set_hash(const ProtobufCFieldDescriptor *fd, ProtobufCBinaryData *field,
		    const char *text, size_t len, struct err *err)
{
	BOX_CLEANUP(mem_freep) uint8_t *data = mem_alloc(len / 2);

	if (parse_hex(text, data, len / 2) < 0)
		return json_bad_value(err, fd, "hexadecimal digits are expected");
	replace_bytes(field, TAKE(data), len / 2);
	return 0;
}

static int set_bytes(const ProtobufCFieldDescriptor *fd, void *p, const char *text, size_t len,
		     struct err *err)
{
	switch (json_form_of(fd)) {
	case FORM_BASE64:
		return set_base64(fd, p, text, len, err);
	case FORM_HASH:
		return set_hash(fd, p, text, len, err);
	case FORM_JSON:
		if (json_scan(text, len, err) < 0)
			return json_bad_value(err, fd, "JSON is expected");
		break;
	default:
		if (!text_is_utf8(text, len))
			return json_bad_value(err, fd, "is not UTF-8");
	}
	replace_bytes(p, mem_dup(text, len), len);
	return 0;
}

static int set_enum(const ProtobufCFieldDescriptor *fd, void *p, const char *text, struct err *err)
{
	const ProtobufCEnumDescriptor *type = fd->descriptor;
	char name[JSON_KEY_MAX];

	for (unsigned i = 0; i < type->n_values; i++) {
		json_enum_text(type, &type->values[i], name);
		if (type->values[i].value != 0 && strcmp(name, text) == 0) {
			*(int *)p = type->values[i].value;
			return 0;
		}
	}
	return json_bad_value(err, fd, "is not one of the known values");
}

static int set_signed(const ProtobufCFieldDescriptor *fd, void *p, const char *text,
		      struct err *err)
{
	bool is_32 = fd->type == PROTOBUF_C_TYPE_INT32;
	int64_t v;

	if (parse_i64(text, is_32 ? INT32_MIN : INT64_MIN, is_32 ? INT32_MAX : INT64_MAX, &v) < 0)
		return json_bad_value(err, fd, "a whole number in range is expected");
	if (is_32)
		*(int32_t *)p = (int32_t)v;
	else
		*(int64_t *)p = v;
	return 0;
}

static int set_unsigned(const ProtobufCFieldDescriptor *fd, void *p, const char *text,
			struct err *err)
{
	bool is_32 = fd->type == PROTOBUF_C_TYPE_UINT32;
	uint64_t v;

	if (parse_u64(text, 0, is_32 ? UINT32_MAX : UINT64_MAX, &v) < 0)
		return json_bad_value(err, fd, "a whole number from 0 up, in range, is expected");
	if (is_32)
		*(uint32_t *)p = (uint32_t)v;
	else
		*(uint64_t *)p = v;
	return 0;
}

static int set_time(const ProtobufCFieldDescriptor *fd, void *p, const char *text, struct err *err)
{
	if (parse_iso(text, p) < 0)
		return json_bad_value(err, fd,
				      "a time such as 2026-11-22T16:00:00.000Z is expected");
	return 0;
}

static int set_bool(const ProtobufCFieldDescriptor *fd, void *p, const char *text, struct err *err)
{
	bool v;

	if (parse_bool(text, &v) < 0)
		return json_bad_value(err, fd, "true or false is expected");
	*(protobuf_c_boolean *)p = v;
	return 0;
}

static int set_double(const ProtobufCFieldDescriptor *fd, void *p, const char *text,
		      struct err *err)
{
	char *end;
	double v = strtod(text, &end);

	if (json_scan(text, strlen(text), NULL) < 0 || *end || end == text || !isfinite(v))
		return json_bad_value(err, fd, "a number is expected");
	*(double *)p = v;
	return 0;
}

/* text: NUL-terminated behind len, decoded. */
int json_set_scalar(const ProtobufCFieldDescriptor *fd, void *p, const char *text, size_t len,
		    struct err *err)
{
	switch (fd->type) {
	case PROTOBUF_C_TYPE_STRING:
		return set_string(fd, p, text, len, err);
	case PROTOBUF_C_TYPE_BYTES:
		return set_bytes(fd, p, text, len, err);
	case PROTOBUF_C_TYPE_ENUM:
		return set_enum(fd, p, text, err);
	case PROTOBUF_C_TYPE_BOOL:
		return set_bool(fd, p, text, err);
	case PROTOBUF_C_TYPE_INT64:
		if (json_form_of(fd) == FORM_TIME)
			return set_time(fd, p, text, err);
		return set_signed(fd, p, text, err);
	case PROTOBUF_C_TYPE_INT32:
		return set_signed(fd, p, text, err);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_UINT64:
		return set_unsigned(fd, p, text, err);
	case PROTOBUF_C_TYPE_DOUBLE:
		return set_double(fd, p, text, err);
	default:
		return json_bad_value(err, fd, "cannot be given here");
	}
}

int json_unknown_field(struct err *err, const char *name)
{
	return err_set_field(err, ERR_INVALID, name, NULL, "unknown field '%s'", name);
}

void json_mark_present(ProtobufCMessage *m, const ProtobufCFieldDescriptor *fd)
{
	if (json_is_oneof(fd))
		*(uint32_t *)((char *)m + fd->quantifier_offset) = fd->id;
}

int json_set_from_text(ProtobufCMessage *m, const char *key, const char *value, struct err *err)
{
	const ProtobufCFieldDescriptor *fd = json_find_field(m->descriptor, key);
	int r;

	if (!fd)
		return json_unknown_field(err, key);
	if (fd->label == PROTOBUF_C_LABEL_REPEATED)
		return json_bad_value(err, fd, "cannot be given here");
	r = json_set_scalar(fd, (char *)m + fd->offset, value, strlen(value), err);
	if (r == 0)
		json_mark_present(m, fd);
	return r;
}
