/* What a field is called in JSON and how it looks there. */
#include "json_field.h"

#include <string.h>
#include "err.h"

static const struct form_row {
	const char *suffix;
	ProtobufCType type;
	enum form form;
	bool is_cut; /* the key goes without the suffix */
} form_rows[] = {
	{ "_json", PROTOBUF_C_TYPE_BYTES, FORM_JSON, true },
	{ "_unix_ms", PROTOBUF_C_TYPE_INT64, FORM_TIME, true },
	{ "_b64", PROTOBUF_C_TYPE_BYTES, FORM_BASE64, true },
	{ "hash", PROTOBUF_C_TYPE_BYTES, FORM_HASH, false },
};

static const struct form_row *form_row_of(const ProtobufCFieldDescriptor *fd)
{
	size_t len = strlen(fd->name);

	for (size_t i = 0; i < ARRAY_LEN(form_rows); i++) {
		size_t suffix = strlen(form_rows[i].suffix);

		if (fd->type == form_rows[i].type && len >= suffix &&
		    (len > suffix || !form_rows[i].is_cut) &&
		    strcmp(fd->name + len - suffix, form_rows[i].suffix) == 0)
			return &form_rows[i];
	}
	return NULL;
}

enum form json_form_of(const ProtobufCFieldDescriptor *fd)
{
	const struct form_row *row = form_row_of(fd);

	return row ? row->form : FORM_PLAIN;
}

void json_field_key(const ProtobufCFieldDescriptor *fd, char ret[JSON_KEY_MAX])
{
	const struct form_row *row = form_row_of(fd);
	size_t len = strlen(fd->name) - (row && row->is_cut ? strlen(row->suffix) : 0);

	box_assert(len < JSON_KEY_MAX);
	memcpy(ret, fd->name, len);
	ret[len] = '\0';
}

/* "FilterKind" -> "FILTER_KIND_"; how much of value's name that covers. */
static size_t enum_prefix_len(const ProtobufCEnumDescriptor *type, const char *value)
{
	size_t at = 0;

	for (const char *c = type->short_name; *c; c++) {
		bool is_upper = *c >= 'A' && *c <= 'Z';

		if (is_upper && c != type->short_name && value[at++] != '_')
			return 0;
		if (value[at++] != (is_upper ? *c : *c - 'a' + 'A'))
			return 0;
	}
	return value[at] == '_' ? at + 1 : 0;
}

void json_enum_text(const ProtobufCEnumDescriptor *type, const ProtobufCEnumValue *value,
		    char ret[JSON_KEY_MAX])
{
	const char *name = value->name + enum_prefix_len(type, value->name);
	size_t i;

	for (i = 0; name[i] && i < JSON_KEY_MAX - 1; i++)
		ret[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
	ret[i] = '\0';
}

size_t json_value_size(const ProtobufCFieldDescriptor *fd)
{
	switch (fd->type) {
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	default:
		return 4;
	}
}

bool json_is_oneof(const ProtobufCFieldDescriptor *fd)
{
	return fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
}

const ProtobufCFieldDescriptor *json_find_field(const ProtobufCMessageDescriptor *type,
						const char *name)
{
	char key[JSON_KEY_MAX];

	for (unsigned i = 0; i < type->n_fields; i++) {
		json_field_key(&type->fields[i], key);
		if (strcmp(key, name) == 0)
			return &type->fields[i];
	}
	return NULL;
}
