/* JSON Schema of what msg_to_json() writes and json_to_msg() takes. */
#include <string.h>
#include "json_field.h"
#include "json_proto.h"
#include "mem.h"

#define NESTING_MAX 8 /* messages in messages; ours know no circles */

struct style {
	const char *refs; /* where messages in messages are described; NULL: in place */
	bool is_input;    /* what is left out stands for null */
};
static const struct style in_place = { 0 };

static void write_object(const ProtobufCMessageDescriptor *type, bool may_be_null, unsigned depth,
			 struct buf *ret);

static void write_type(struct buf *ret, const char *name, bool may_be_null)
{
	buf_printf(ret, may_be_null ? "{\"type\":[\"%s\",\"null\"]}" : "{\"type\":\"%s\"}", name);
}

static void write_bytes_type(const ProtobufCFieldDescriptor *fd, bool may_be_null,
			     const struct style *style, struct buf *ret)
{
	switch (json_form_of(fd)) {
	case FORM_JSON:
		buf_add_str(ret, "{}"); /* any JSON */
		return;
	case FORM_HASH:
		write_type(ret, "string", !style->is_input);
		return;
	default:
		write_type(ret, "string", may_be_null);
	}
}

static void write_reference(const ProtobufCMessageDescriptor *type, bool may_be_null,
			    const char *refs, struct buf *ret)
{
	buf_printf(ret,
		   may_be_null ? "{\"anyOf\":[{\"$ref\":\"%s%s\"},{\"type\":\"null\"}]}"
			       : "{\"$ref\":\"%s%s\"}",
		   refs, type->short_name);
}

static void write_message_type(const ProtobufCFieldDescriptor *fd, unsigned depth,
			       const struct style *style, struct buf *ret)
{
	bool may_be_null = !style->is_input && fd->label != PROTOBUF_C_LABEL_REPEATED;

	if (style->refs)
		write_reference(fd->descriptor, may_be_null, style->refs, ret);
	else
		write_object(fd->descriptor, may_be_null, depth + 1, ret);
}

static void write_number_type(const ProtobufCFieldDescriptor *fd, bool may_be_null,
			      const struct style *style, struct buf *ret)
{
	if (json_form_of(fd) != FORM_TIME)
		write_type(ret, "integer", may_be_null);
	else if (!style->refs)
		write_type(ret, "string", true);
	else
		buf_printf(ret, "{\"type\":%s,\"format\":\"date-time\"}",
			   style->is_input ? "\"string\"" : "[\"string\",\"null\"]");
}

static void write_value_type(const ProtobufCFieldDescriptor *fd, bool may_be_null, unsigned depth,
			     const struct style *style, struct buf *ret)
{
	switch (fd->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		write_message_type(fd, depth, style, ret);
		return;
	case PROTOBUF_C_TYPE_BYTES:
		write_bytes_type(fd, may_be_null, style, ret);
		return;
	case PROTOBUF_C_TYPE_STRING:
		write_type(ret, "string", may_be_null);
		return;
	case PROTOBUF_C_TYPE_ENUM:
		write_type(ret, "string", !style->is_input);
		return;
	case PROTOBUF_C_TYPE_BOOL:
		write_type(ret, "boolean", may_be_null);
		return;
	case PROTOBUF_C_TYPE_DOUBLE: /* what is not finite is null */
		write_type(ret, "number", !style->is_input);
		return;
	default:
		write_number_type(fd, may_be_null, style, ret);
	}
}

static void write_field(const ProtobufCFieldDescriptor *fd, unsigned depth,
			const struct style *style, struct buf *ret)
{
	if (fd->label != PROTOBUF_C_LABEL_REPEATED) {
		write_value_type(fd, !style->is_input && json_is_oneof(fd), depth, style, ret);
		return;
	}
	buf_add_str(ret, "{\"type\":\"array\",\"items\":");
	write_value_type(fd, false, depth, style, ret);
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
		write_field(&type->fields[i], depth, &in_place, ret);
	}
	buf_add_str(ret, "},\"required\":[");
	write_keys(type, ret);
	buf_add_str(ret, "]}");
}

void msg_to_schema(const ProtobufCMessageDescriptor *type, struct buf *ret)
{
	write_object(type, false, 0, ret);
}

void msg_field_to_schema(const ProtobufCFieldDescriptor *fd, bool is_input, const char *refs,
			 struct buf *ret)
{
	const struct style style = { refs, is_input };

	write_field(fd, 0, &style, ret);
}
