#include "json_proto.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "attrs.h"
#include "clock.h"
#include "mem.h"
#include "msg.h"
#include "msg_check.h"
#include "parse.h"

#define KEY_MAX 128

/* How a field looks in JSON, told by the end of its name. */
enum form { FORM_PLAIN, FORM_JSON, FORM_TIME, FORM_BASE64, FORM_HASH };

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

static enum form form_of(const ProtobufCFieldDescriptor *fd)
{
	const struct form_row *row = form_row_of(fd);

	return row ? row->form : FORM_PLAIN;
}

static void field_key(const ProtobufCFieldDescriptor *fd, char ret[KEY_MAX])
{
	const struct form_row *row = form_row_of(fd);
	size_t len = strlen(fd->name) - (row && row->is_cut ? strlen(row->suffix) : 0);

	box_assert(len < KEY_MAX);
	memcpy(ret, fd->name, len);
	ret[len] = '\0';
}

/* ---- enums: PURPOSE_LIVE of enum Purpose is "live" ---- */

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

static void enum_text(const ProtobufCEnumDescriptor *type, const ProtobufCEnumValue *value,
		      char ret[KEY_MAX])
{
	const char *name = value->name + enum_prefix_len(type, value->name);
	size_t i;

	for (i = 0; name[i] && i < KEY_MAX - 1; i++)
		ret[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
	ret[i] = '\0';
}

/* ---- message -> JSON ---- */

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
	char text[KEY_MAX];

	if (!value || number == 0) { /* unspecified */
		buf_add_str(out, "null");
		return;
	}
	enum_text(type, value, text);
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
		write_bytes(w->out, form_of(fd), p);
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
		if (form_of(fd) == FORM_TIME)
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

static size_t value_size(const ProtobufCFieldDescriptor *fd)
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
		write_value(w, fd, items + i * value_size(fd));
	}
	w->depth--;
	write_newline(w);
	buf_add_char(w->out, ']');
}

static bool is_oneof(const ProtobufCFieldDescriptor *fd)
{
	return fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
}

static void write_field(struct writer *w, const ProtobufCMessage *m,
			const ProtobufCFieldDescriptor *fd)
{
	const char *base = (const char *)m;

	if (fd->label == PROTOBUF_C_LABEL_REPEATED)
		write_repeated(w, m, fd);
	else if (is_oneof(fd) && *(const uint32_t *)(base + fd->quantifier_offset) != fd->id)
		buf_add_str(w->out, "null");
	else
		write_value(w, fd, base + fd->offset);
}

static void write_message(struct writer *w, const ProtobufCMessage *m)
{
	char key[KEY_MAX];

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
		field_key(fd, key);
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

/* ---- text -> one value ---- */

static int bad_value(struct err *err, const ProtobufCFieldDescriptor *fd, const char *expected)
{
	char key[KEY_MAX];

	field_key(fd, key);
	return err_set_field(err, ERR_INVALID, key, NULL, "'%s': %s", key, expected);
}

static int set_string(const ProtobufCFieldDescriptor *fd, void *p, const char *text, size_t len,
		      struct err *err)
{
	char **field = p;

	if (len > MSG_STRING_MAX)
		return bad_value(err, fd, "is too long");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return bad_value(err, fd, "holds control characters");
	if (!text_is_utf8(text, len))
		return bad_value(err, fd, "is not UTF-8");
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
		return bad_value(err, fd, "base64 is expected");
	replace_bytes(field, data, data_len);
	return 0;
}

static int set_hash(const ProtobufCFieldDescriptor *fd, ProtobufCBinaryData *field,
		    const char *text, size_t len, struct err *err)
{
	BOX_CLEANUP(mem_freep) uint8_t *data = mem_alloc(len / 2);

	if (parse_hex(text, data, len / 2) < 0)
		return bad_value(err, fd, "hexadecimal digits are expected");
	replace_bytes(field, TAKE(data), len / 2);
	return 0;
}

static int set_bytes(const ProtobufCFieldDescriptor *fd, void *p, const char *text, size_t len,
		     struct err *err)
{
	switch (form_of(fd)) {
	case FORM_BASE64:
		return set_base64(fd, p, text, len, err);
	case FORM_HASH:
		return set_hash(fd, p, text, len, err);
	case FORM_JSON:
		if (json_scan(text, len, err) < 0)
			return bad_value(err, fd, "JSON is expected");
		break;
	default:
		if (!text_is_utf8(text, len))
			return bad_value(err, fd, "is not UTF-8");
	}
	replace_bytes(p, mem_dup(text, len), len);
	return 0;
}

static int set_enum(const ProtobufCFieldDescriptor *fd, void *p, const char *text, struct err *err)
{
	const ProtobufCEnumDescriptor *type = fd->descriptor;
	char name[KEY_MAX];

	for (unsigned i = 0; i < type->n_values; i++) {
		enum_text(type, &type->values[i], name);
		if (type->values[i].value != 0 && strcmp(name, text) == 0) {
			*(int *)p = type->values[i].value;
			return 0;
		}
	}
	return bad_value(err, fd, "is not one of the known values");
}

static int set_signed(const ProtobufCFieldDescriptor *fd, void *p, const char *text,
		      struct err *err)
{
	bool is_32 = fd->type == PROTOBUF_C_TYPE_INT32;
	int64_t v;

	if (parse_i64(text, is_32 ? INT32_MIN : INT64_MIN, is_32 ? INT32_MAX : INT64_MAX, &v) < 0)
		return bad_value(err, fd, "a whole number in range is expected");
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
		return bad_value(err, fd, "a whole number from 0 up, in range, is expected");
	if (is_32)
		*(uint32_t *)p = (uint32_t)v;
	else
		*(uint64_t *)p = v;
	return 0;
}

static int set_time(const ProtobufCFieldDescriptor *fd, void *p, const char *text, struct err *err)
{
	if (parse_iso(text, p) < 0)
		return bad_value(err, fd, "a time such as 2026-11-22T16:00:00.000Z is expected");
	return 0;
}

static int set_bool(const ProtobufCFieldDescriptor *fd, void *p, const char *text, struct err *err)
{
	bool v;

	if (parse_bool(text, &v) < 0)
		return bad_value(err, fd, "true or false is expected");
	*(protobuf_c_boolean *)p = v;
	return 0;
}

static int set_double(const ProtobufCFieldDescriptor *fd, void *p, const char *text,
		      struct err *err)
{
	char *end;
	double v = strtod(text, &end);

	if (json_scan(text, strlen(text), NULL) < 0 || *end || end == text || !isfinite(v))
		return bad_value(err, fd, "a number is expected");
	*(double *)p = v;
	return 0;
}

/* text: NUL-terminated behind len, decoded. */
static int set_scalar(const ProtobufCFieldDescriptor *fd, void *p, const char *text, size_t len,
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
		if (form_of(fd) == FORM_TIME)
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
		return bad_value(err, fd, "cannot be given here");
	}
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type,
						  const char *name)
{
	char key[KEY_MAX];

	for (unsigned i = 0; i < type->n_fields; i++) {
		field_key(&type->fields[i], key);
		if (strcmp(key, name) == 0)
			return &type->fields[i];
	}
	return NULL;
}

static int unknown_field(struct err *err, const char *name)
{
	return err_set_field(err, ERR_INVALID, name, NULL, "unknown field '%s'", name);
}

static void mark_present(ProtobufCMessage *m, const ProtobufCFieldDescriptor *fd)
{
	if (is_oneof(fd))
		*(uint32_t *)((char *)m + fd->quantifier_offset) = fd->id;
}

int json_set_from_text(ProtobufCMessage *m, const char *key, const char *value, struct err *err)
{
	const ProtobufCFieldDescriptor *fd = find_field(m->descriptor, key);
	int r;

	if (!fd)
		return unknown_field(err, key);
	if (fd->label == PROTOBUF_C_LABEL_REPEATED)
		return bad_value(err, fd, "cannot be given here");
	r = set_scalar(fd, (char *)m + fd->offset, value, strlen(value), err);
	if (r == 0)
		mark_present(m, fd);
	return r;
}

/* ---- JSON -> message ---- */

static int read_message(const ProtobufCMessageDescriptor *type, struct json_span text,
			const char *const *ignore, ProtobufCMessage **ret, struct err *err);

static bool span_is_string(struct json_span v)
{
	return v.at[0] == '"';
}

static int read_text_value(const ProtobufCFieldDescriptor *fd, void *p, struct json_span v,
			   struct err *err)
{
	BOX_CLEANUP(mem_freep) char *text = NULL;
	size_t len;

	if (!span_is_string(v))
		return bad_value(err, fd, "text is expected");
	if (json_span_string(v, &text, &len) < 0)
		return bad_value(err, fd, "holds a NUL character");
	return set_scalar(fd, p, text, len, err);
}

static int read_raw_value(const ProtobufCFieldDescriptor *fd, void *p, struct json_span v,
			  struct err *err)
{
	BOX_CLEANUP(mem_freep) char *text = mem_strndup(v.at, v.len);

	return set_scalar(fd, p, text, v.len, err);
}

/* JSON has true and false only; words such as "yes" are for query strings. */
static int read_bool_value(const ProtobufCFieldDescriptor *fd, void *p, struct json_span v,
			   struct err *err)
{
	if (v.at[0] != 't' && v.at[0] != 'f')
		return bad_value(err, fd, "true or false is expected");
	return read_raw_value(fd, p, v, err);
}

static int read_value(const ProtobufCFieldDescriptor *fd, void *p, struct json_span v,
		      struct err *err)
{
	switch (fd->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		if (v.at[0] != '{')
			return bad_value(err, fd, "an object is expected");
		return read_message(fd->descriptor, v, NULL, p, err);
	case PROTOBUF_C_TYPE_BOOL:
		return read_bool_value(fd, p, v, err);
	case PROTOBUF_C_TYPE_BYTES:
		if (form_of(fd) == FORM_JSON)
			return read_raw_value(fd, p, v, err);
		return read_text_value(fd, p, v, err);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_ENUM:
		return read_text_value(fd, p, v, err);
	case PROTOBUF_C_TYPE_INT64:
		if (form_of(fd) == FORM_TIME)
			return read_text_value(fd, p, v, err);
		return read_raw_value(fd, p, v, err);
	default:
		return read_raw_value(fd, p, v, err);
	}
}

struct list {
	const ProtobufCFieldDescriptor *fd;
	size_t *count;
	char **items;
	size_t room;
};

static int read_element(void *arg, struct json_span v, struct err *err)
{
	struct list *list = arg;
	size_t size = value_size(list->fd);
	char *item;
	int r;

	if (*list->count == list->room) {
		list->room = list->room ? list->room * 2 : 8;
		*list->items = mem_realloc_array(*list->items, list->room, size);
	}
	item = *list->items + *list->count * size;
	memset(item, 0, size);
	r = read_value(list->fd, item, v, err);
	if (r == 0)
		(*list->count)++;
	return r;
}

static int read_repeated(ProtobufCMessage *m, const ProtobufCFieldDescriptor *fd,
			 struct json_span v, struct err *err)
{
	struct list list = { .fd = fd,
			     .count = (size_t *)((char *)m + fd->quantifier_offset),
			     .items = (char **)((char *)m + fd->offset) };
	int r;

	if (v.at[0] != '[')
		return bad_value(err, fd, "a list is expected");
	r = json_each_element(v.at, v.len, read_element, &list, err);
	/* An array that never got an element is not freed with the message. */
	if (*list.count == 0) {
		free(*list.items);
		*list.items = NULL;
	}
	return r;
}

struct reading {
	ProtobufCMessage *m;
	const char *const *ignore;
	bool *seen; /* one per field */
};

static bool is_ignored(const char *const *ignore, const char *name)
{
	for (; ignore && *ignore; ignore++)
		if (strcmp(*ignore, name) == 0)
			return true;
	return false;
}

static int read_field(struct reading *rd, const ProtobufCFieldDescriptor *fd, struct json_span v,
		      struct err *err)
{
	bool *seen = &rd->seen[fd - rd->m->descriptor->fields];
	int r;

	if (*seen)
		return bad_value(err, fd, "occurs twice");
	*seen = true;
	if (v.at[0] == 'n') /* null */
		return 0;
	if (fd->label == PROTOBUF_C_LABEL_REPEATED)
		return read_repeated(rd->m, fd, v, err);
	r = read_value(fd, (char *)rd->m + fd->offset, v, err);
	if (r == 0)
		mark_present(rd->m, fd);
	return r;
}

static int read_member(void *arg, struct json_span key, struct json_span v, struct err *err)
{
	struct reading *rd = arg;
	BOX_CLEANUP(mem_freep) char *name = NULL;
	const ProtobufCFieldDescriptor *fd;
	size_t len;

	if (json_span_string(key, &name, &len) < 0)
		return err_set(err, ERR_INVALID, "a field's name holds a NUL character");
	if (is_ignored(rd->ignore, name))
		return 0;
	fd = find_field(rd->m->descriptor, name);
	return fd ? read_field(rd, fd, v, err) : unknown_field(err, name);
}

static int read_message(const ProtobufCMessageDescriptor *type, struct json_span text,
			const char *const *ignore, ProtobufCMessage **ret, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *m = mem_alloc(type->sizeof_message);
	BOX_CLEANUP(mem_freep) bool *seen = mem_alloc_array(type->n_fields, sizeof(*seen));
	struct reading rd = { m, ignore, seen };
	int r;

	type->message_init(m);
	r = json_each_member(text.at, text.len, read_member, &rd, err);
	if (r == 0)
		*ret = TAKE(m);
	return r;
}

int json_to_msg(const ProtobufCMessageDescriptor *type, const char *text, size_t len,
		const char *const *ignore, ProtobufCMessage **ret, struct err *err)
{
	struct json_span span = { len ? text : "{}", len ? len : 2 };

	return read_message(type, span, ignore, ret, err);
}
