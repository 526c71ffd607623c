/*
 * Messages -> JSON as REST shows it.  Most answers are the reply as it is; a view says what else.
 * Pure.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include "buf.h"

struct view_key {
	const char *shown; /* key in the answer */
	const char *from;  /* key of the message's JSON form */
};

enum view_kind {
	VIEW_WHOLE,   /* the reply; with keys: only those */
	VIEW_MEMBER,  /* the message in the field `member` */
	VIEW_LIST,    /* {items, total, page, page_size, pages}, items being the field `member` */
	VIEW_NOTHING, /* no body: 204 */
};

struct view {
	enum view_kind kind;
	const char *member;
	const struct view_key
		*keys;     /* of the object, or of each item; NULL: all.  Ends with { NULL } */
	const char *total; /* VIEW_LIST: field that counts all items; NULL: "total" */
};

/* view NULL: VIEW_WHOLE.  Appends to ret. */
void view_write(const struct view *view, const ProtobufCMessage *reply, struct buf *ret);
