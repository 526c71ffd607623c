/* Message -> JSON. */
#include "json_proto.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "json_field.h"
#include "mem.h"
#include "parse.h"

struct writer {
	struct buf *out;
	unsigned indent, depth;
};

static void write_message(struct writer *w, const ProtobufCMessage *m);

static void write_newline(const struct writer *w)
{
	if (w->indent == 0)
		return;
	buf_add_char(w->out, '\n');
	for (unsigned i = 0; i < w->indent * w->depth; i++)
		buf_add_char(w->out, ' ');
}

static void write_time(struct buf *out, int64_t unix_ms)
{
	char text[32];

	if (unix_ms == 0) {
		buf_add_str(out, "null");
		return;
	}
	clock_format_iso(unix_ms, text);
	buf_printf(out, "\"%s\"", text);
}

static void write_hash(struct buf *out, const ProtobufCBinaryData *data)
{
	char digits[3];

	if (data->len == 0) {
		buf_add_str(out, "null");
		return;
	}
	buf_add_char(out, '"');
	for (size_t i = 0; i < data->len; i++) {
		format_hex(data->data + i, 1, digits);
		buf_add_str(out, digits);
	}
	buf_add_char(out, '"');
}

static void write_base64(struct buf *out, const ProtobufCBinaryData *data)
{
	BOX_CLEANUP(mem_freep) char *text = format_base64(data->data, data->len);

	buf_printf(out, "\"%s\"", text);
}

static void write_bytes(struct buf *out, enum form form, const ProtobufCBinaryData *data)
{
	switch (form) {
	case FORM_JSON:
		if (data->len)
			buf_add(out, data->data, data->len);
		else
			buf_add_str(out, "null");
		return;
	case FORM_BASE64:
		write_base64(out, data);
		return;
	case FORM_HASH:
		write_hash(out, data);
		return;
	default:
		json_add_string(out, data->data, data->len);
	}
}

static void write_enum(struct buf *out, const ProtobufCEnumDescriptor *type, int number)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(type, number);
	char text[JSON_KEY_MAX];

	if (!value || number == 0) { /* unspecified */
		buf_add_str(out, "null");
		return;
	}
	json_enum_text(type, value, text);
	json_add_string(out, text, strlen(text));
}

static void write_double(struct buf *out, double v)
{
	if (isfinite(v))
		buf_printf(out, "%.17g", v);
	else
		buf_add_str(out, "null");
}

/* One value; p points at the field or at an element of it. */
static void write_value(struct writer *w, const ProtobufCFieldDescriptor *fd, const void *p)
{
	switch (fd->type) {
	case PROTOBUF_C_TYPE_STRING: {
		const char *s = *(const char *const *)p;

		json_add_string(w->out, s ? s : "", s ? strlen(s) : 0);
		return;
	}
	case PROTOBUF_C_TYPE_BYTES:
		write_bytes(w->out, json_form_of(fd), p);
		return;
	case PROTOBUF_C_TYPE_MESSAGE:
		write_message(w, *(const ProtobufCMessage *const *)p);
		return;
	case PROTOBUF_C_TYPE_ENUM:
		write_enum(w->out, fd->descriptor, *(const int *)p);
		return;
	case PROTOBUF_C_TYPE_BOOL:
		buf_add_str(w->out, *(const protobuf_c_boolean *)p ? "true" : "false");
		return;
	case PROTOBUF_C_TYPE_INT32:
		buf_printf(w->out, "%d", *(const int32_t *)p);
		return;
	case PROTOBUF_C_TYPE_UINT32:
		buf_printf(w->out, "%u", *(const uint32_t *)p);
		return;
	case PROTOBUF_C_TYPE_INT64:
		if (json_form_of(fd) == FORM_TIME)
			write_time(w->out, *(const int64_t *)p);
		else
			buf_printf(w->out, "%lld", (long long)*(const int64_t *)p);
		return;
	case PROTOBUF_C_TYPE_UINT64:
		buf_printf(w->out, "%llu", (unsigned long long)*(const uint64_t *)p);
		return;
	case PROTOBUF_C_TYPE_DOUBLE:
		write_double(w->out, *(const double *)p);
		return;
	default:
		box_bug("field %s has a type that proto/README.md does not know", fd->name);
	}
}

static void write_repeated(struct writer *w, const ProtobufCMessage *m,
			   const ProtobufCFieldDescriptor *fd)
{
	size_t count = *(const size_t *)((const char *)m + fd->quantifier_offset);
	const char *items = *(const char *const *)((const char *)m + fd->offset);

	if (count == 0) {
		buf_add_str(w->out, "[]");
		return;
	}
	buf_add_char(w->out, '[');
	w->depth++;
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_add_char(w->out, ',');
		write_newline(w);
		write_value(w, fd, items + i * json_value_size(fd));
	}
	w->depth--;
	write_newline(w);
	buf_add_char(w->out, ']');
}

static void write_field(struct writer *w, const ProtobufCMessage *m,
			const ProtobufCFieldDescriptor *fd)
{
	const char *base = (const char *)m;

	if (fd->label == PROTOBUF_C_LABEL_REPEATED)
		write_repeated(w, m, fd);
	else if (json_is_oneof(fd) && *(const uint32_t *)(base + fd->quantifier_offset) != fd->id)
		buf_add_str(w->out, "null");
	else
		write_value(w, fd, base + fd->offset);
}

static void write_message(struct writer *w, const ProtobufCMessage *m)
{
	char key[JSON_KEY_MAX];

	if (!m || m->descriptor->n_fields == 0) {
		buf_add_str(w->out, m ? "{}" : "null");
		return;
	}
	buf_add_char(w->out, '{');
	w->depth++;
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *fd = &m->descriptor->fields[i];

		if (i)
			buf_add_char(w->out, ',');
		write_newline(w);
		json_field_key(fd, key);
		buf_printf(w->out, w->indent ? "\"%s\": " : "\"%s\":", key);
		write_field(w, m, fd);
	}
	w->depth--;
	write_newline(w);
	buf_add_char(w->out, '}');
}

void msg_to_json(const ProtobufCMessage *m, unsigned indent, struct buf *ret)
{
	struct writer w = { ret, indent, 0 };

	write_message(&w, m);
}
