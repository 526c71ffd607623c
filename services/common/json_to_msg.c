/* JSON -> message. */
#include "json_proto.h"

#include <stdlib.h>
#include <string.h>
#include "json_field.h"
#include "mem.h"
#include "msg.h"

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
		return json_bad_value(err, fd, "text is expected");
	if (json_span_string(v, &text, &len) < 0)
		return json_bad_value(err, fd, "holds a NUL character");
	return json_set_scalar(fd, p, text, len, err);
}

static int read_raw_value(const ProtobufCFieldDescriptor *fd, void *p, struct json_span v,
			  struct err *err)
{
	BOX_CLEANUP(mem_freep) char *text = mem_strndup(v.at, v.len);

	return json_set_scalar(fd, p, text, v.len, err);
}

/* JSON has true and false only; words such as "yes" are for query strings. */
static int read_bool_value(const ProtobufCFieldDescriptor *fd, void *p, struct json_span v,
			   struct err *err)
{
	if (v.at[0] != 't' && v.at[0] != 'f')
		return json_bad_value(err, fd, "true or false is expected");
	return read_raw_value(fd, p, v, err);
}

static int read_value(const ProtobufCFieldDescriptor *fd, void *p, struct json_span v,
		      struct err *err)
{
	switch (fd->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		if (v.at[0] != '{')
			return json_bad_value(err, fd, "an object is expected");
		return read_message(fd->descriptor, v, NULL, p, err);
	case PROTOBUF_C_TYPE_BOOL:
		return read_bool_value(fd, p, v, err);
	case PROTOBUF_C_TYPE_BYTES:
		if (json_form_of(fd) == FORM_JSON)
			return read_raw_value(fd, p, v, err);
		return read_text_value(fd, p, v, err);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_ENUM:
		return read_text_value(fd, p, v, err);
	case PROTOBUF_C_TYPE_INT64:
		if (json_form_of(fd) == FORM_TIME)
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
	size_t size = json_value_size(list->fd);
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
		return json_bad_value(err, fd, "a list is expected");
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
		return json_bad_value(err, fd, "occurs twice");
	*seen = true;
	if (v.at[0] == 'n') /* null */
		return 0;
	if (fd->label == PROTOBUF_C_LABEL_REPEATED)
		return read_repeated(rd->m, fd, v, err);
	r = read_value(fd, (char *)rd->m + fd->offset, v, err);
	if (r == 0)
		json_mark_present(rd->m, fd);
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
	fd = json_find_field(rd->m->descriptor, name);
	return fd ? read_field(rd, fd, v, err) : json_unknown_field(err, name);
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
