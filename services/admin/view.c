#include <string.h>
#include "json.h"
#include "json_proto.h"
#include "mem.h"
#include "view.h"

#define KEYS_MAX 16

static const void *field_at(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	return (const char *)m + f->offset;
}

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessage *m, const char *name)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);

	if (!f)
		box_bug("message %s has no field %s", m->descriptor->name, name);
	return f;
}

/* The chosen members of a JSON object that we have made ourselves, under their new names. */
static void write_keys(const struct view_key *keys, struct buf *object, struct buf *ret)
{
	const char *names[KEYS_MAX];
	struct json_span spans[KEYS_MAX];
	size_t count = 0;

	for (; keys[count].shown; count++) {
		box_assert(count < KEYS_MAX);
		names[count] = keys[count].from;
	}
	if (json_scan_members(buf_str(object), object->len, names, count, spans, NULL) < 0)
		box_bug("a view met what is no JSON object");
	for (size_t i = 0; i < count; i++) {
		buf_printf(ret, "%s\"%s\":", i == 0 ? "{" : ",", keys[i].shown);
		if (spans[i].at)
			buf_add(ret, spans[i].at, spans[i].len);
		else
			buf_add_str(ret, "null");
	}
	buf_add_char(ret, '}');
}

static void write_object(const struct view *view, const ProtobufCMessage *m, struct buf *ret)
{
	struct buf object = BUF_INIT(ret->max);

	if (!view || !view->keys) {
		msg_to_json(m, 0, ret);
		return;
	}
	msg_to_json(m, 0, &object);
	if (object.is_over)
		ret->is_over = true;
	else
		write_keys(view->keys, &object, ret);
	buf_done(&object);
}

static void write_member(const struct view *view, const ProtobufCMessage *reply, struct buf *ret)
{
	const ProtobufCMessage *m =
		*(ProtobufCMessage *const *)field_at(reply, field_of(reply, view->member));

	if (m)
		write_object(view, m, ret);
	else
		buf_add_str(ret, "null");
}

static uint32_t number(const ProtobufCMessage *m, const char *name)
{
	return *(const uint32_t *)field_at(m, field_of(m, name));
}

static void write_list(const struct view *view, const ProtobufCMessage *reply, struct buf *ret)
{
	const ProtobufCFieldDescriptor *f = field_of(reply, view->member);
	size_t count = *(const size_t *)((const char *)reply + f->quantifier_offset);
	ProtobufCMessage *const *items = *(ProtobufCMessage * *const *)field_at(reply, f);

	buf_add_str(ret, "{\"items\":[");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_add_char(ret, ',');
		write_object(view, items[i], ret);
	}
	buf_printf(ret, "],\"total\":%u,\"page\":%u,\"page_size\":%u,\"pages\":%u}",
		   number(reply, view->total ? view->total : "total"), number(reply, "page"),
		   number(reply, "page_size"), number(reply, "pages"));
}

void view_write(const struct view *view, const ProtobufCMessage *reply, struct buf *ret)
{
	switch (view ? view->kind : VIEW_WHOLE) {
	case VIEW_WHOLE:
		write_object(view, reply, ret);
		break;
	case VIEW_MEMBER:
		write_member(view, reply, ret);
		break;
	case VIEW_LIST:
		write_list(view, reply, ret);
		break;
	case VIEW_NOTHING:
		break;
	}
}
