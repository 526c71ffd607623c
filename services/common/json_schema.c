/* JSON Schema of what msg_to_json() writes. */
#include <string.h>
#include "json_field.h"
#include "json_proto.h"
#include "mem.h"

#define NESTING_MAX 8 /* messages in messages; ours know no circles */

static void write_object(const ProtobufCMessageDescriptor *type, bool may_be_null, unsigned depth,
			 struct buf *ret);

static void write_type(struct buf *ret, const char *name, bool may_be_null)
{
	buf_printf(ret, may_be_null ? "{\"type\":[\"%s\",\"null\"]}" : "{\"type\":\"%s\"}", name);
}

static void write_bytes_type(const ProtobufCFieldDescriptor *fd, bool may_be_null, struct buf *ret)
{
	switch (json_form_of(fd)) {
	case FORM_JSON:
		buf_add_str(ret, "{}"); /* any JSON */
		return;
	case FORM_HASH:
		write_type(ret, "string", true);
		return;
	default:
		write_type(ret, "string", may_be_null);
	}
}

static void write_value_type(const ProtobufCFieldDescriptor *fd, bool may_be_null, unsigned depth,
			     struct buf *ret)
{
	switch (fd->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		write_object(fd->descriptor, fd->label != PROTOBUF_C_LABEL_REPEATED, depth + 1,
			     ret);
		return;
	case PROTOBUF_C_TYPE_BYTES:
		write_bytes_type(fd, may_be_null, ret);
		return;
	case PROTOBUF_C_TYPE_STRING:
		write_type(ret, "string", may_be_null);
		return;
	case PROTOBUF_C_TYPE_ENUM:
		write_type(ret, "string", true);
		return;
	case PROTOBUF_C_TYPE_BOOL:
		write_type(ret, "boolean", may_be_null);
		return;
	case PROTOBUF_C_TYPE_DOUBLE:
		write_type(ret, "number", true); /* what is not finite is null */
		return;
	default:
		if (json_form_of(fd) == FORM_TIME)
			write_type(ret, "string", true);
		else
			write_type(ret, "integer", may_be_null);
	}
}

static void write_field(const ProtobufCFieldDescriptor *fd, unsigned depth, struct buf *ret)
{
	if (fd->label != PROTOBUF_C_LABEL_REPEATED) {
		write_value_type(fd, json_is_oneof(fd), depth, ret);
		return;
	}
	buf_add_str(ret, "{\"type\":\"array\",\"items\":");
	write_value_type(fd, false, depth, ret);
	buf_add_char(ret, '}');
}

static void write_keys(const ProtobufCMessageDescriptor *type, struct buf *ret)
{
	char key[JSON_KEY_MAX];

	for (unsigned i = 0; i < type->n_fields; i++) {
		json_field_key(&type->fields[i], key);
		buf_printf(ret, "%s\"%s\"", i ? "," : "", key);
	}
}

static void write_object(const ProtobufCMessageDescriptor *type, bool may_be_null, unsigned depth,
			 struct buf *ret)
{
	char key[JSON_KEY_MAX];

	if (depth > NESTING_MAX)
		box_bug("%s holds messages too deep for a schema", type->name);
	buf_printf(ret, "{\"type\":%s,\"properties\":{",
		   may_be_null ? "[\"object\",\"null\"]" : "\"object\"");
	for (unsigned i = 0; i < type->n_fields; i++) {
		json_field_key(&type->fields[i], key);
		buf_printf(ret, "%s\"%s\":", i ? "," : "", key);
		write_field(&type->fields[i], depth, ret);
	}
	buf_add_str(ret, "},\"required\":[");
	write_keys(type, ret);
	buf_add_str(ret, "]}");
}

void msg_to_schema(const ProtobufCMessageDescriptor *type, struct buf *ret)
{
	write_object(type, false, 0, ret);
}
